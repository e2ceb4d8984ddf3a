"""A label that divides its requests: which version answers one, and what is counted of each.

Everything here runs on the event loop's thread.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from app.releases.counts import Counts
from app.serving.metrics import VersionMetrics
from app.serving.mirror import Mirror
from app.serving.notes import Warned
from app.serving.version_queue import VersionQueue

if TYPE_CHECKING:
    from app.serving.wanted_version import WantedVersion

KEY_HEADER = "x-request-key"
_TOO_MANY_REQUESTS = 429

Headers = Mapping[bytes, bytes]


@dataclass(frozen=True)
class Share:
    """How a label divides its requests.

    Attributes:
        revision: of the label; each change of it begins to count anew.
        canary: the version that answers `per_mille` of 1,000 requests.
        split_by: the header whose value decides; None: `KEY_HEADER`.
        shadow: the version that is asked a copy.
    """

    label: str
    revision: int
    canary: int | None = None
    per_mille: int | None = None
    split_by: str | None = None
    shadow: int | None = None


class Servable(Protocol):
    """What a split needs of a version."""

    arms: dict[str, Arm]
    metrics: VersionMetrics
    queue: VersionQueue | None
    wanted: WantedVersion

    @property
    def loaded(self) -> bool: ...

    @property
    def number(self) -> int: ...


V = TypeVar("V", bound=Servable)


class Arm:
    """Counts a version's requests that came by one label, beside the version's own numbers.

    Attributes:
        counts: since they were last taken.
        mirror: takes copies of what was answered well; None: there is no shadow.
    """

    def __init__(self, model: str, label: str, revision: int, number: int, metrics: VersionMetrics) -> None:
        self.model, self.label, self.revision, self.number = model, label, revision, number
        self.counts = Counts()
        self.mirror: Mirror | None = None
        self._metrics = metrics

    def answered(self, rows: int, seconds: float) -> None:
        self._metrics.answered(rows, seconds)
        self.counts.add(seconds)

    def warned(self, warnings: Iterable[Warned] | None) -> None:
        self._metrics.warned(warnings)

    def failed(self, status: int) -> None:
        """A caller over its own limit (429) is no fault of the version."""
        self._metrics.failed(status)
        if status != _TOO_MANY_REQUESTS:
            self.counts.requests += 1
            self.counts.errors += 1

    def take(self) -> Counts | None:
        """The counts, to be written down; None when there are none."""
        if not self.counts.requests and not self.counts.skipped:
            return None
        taken, self.counts = self.counts, Counts()
        return taken


class Split(Generic[V]):
    """A label's division of requests between a stable version, a canary and a shadow.

    Args:
        canary: None: the label has only a shadow.
        submit: `Batcher.submit`, for copies to the shadow.

    Attributes:
        draws: numbers for requests without a key.
    """

    draws = random.Random()

    def __init__(
        self,
        model: str,
        share: Share,
        base: V,
        canary: V | None,
        shadow: V | None = None,
        submit: Callable[..., None] | None = None,
    ) -> None:
        self.share, self.base, self.canary, self.shadow = share, base, canary, shadow
        self._per_mille = share.per_mille or 0
        self._by = (share.split_by or KEY_HEADER).encode()
        self._salt = blake2b(f"{model}/{share.label}/{share.canary}".encode(), digest_size=16).digest()
        self._last: int | None = None  # the draw of the request before, which had no key
        self._returned: list[int] = []
        self._answering = {
            version: Arm(model, share.label, share.revision, version.number, version.metrics)
            for version in (base, canary)
            if version is not None
        }
        self.arms = list(self._answering.values())
        for version, arm in self._answering.items():
            version.arms = {**version.arms, share.label: arm}
        if shadow is not None and submit is not None:
            copies = Arm(model, share.label, share.revision, shadow.number, shadow.metrics)
            self.arms.append(copies)
            self._answering[base].mirror = Mirror(base, shadow, submit, lambda: copies.counts)

    def choose(self, headers: Headers | None = None) -> V:
        """The version that answers a request. One with a key gets the same version each time, on every host; raising
        the share moves keys to the canary only, never back. Without a key it is drawn."""
        canary = self.canary
        if canary is None or not canary.loaded:
            return self.base
        key = headers.get(self._by) if headers is not None else None
        if key:
            self._last = None
            number = int.from_bytes(blake2b(key, key=self._salt, digest_size=8).digest(), "big") % 1000
        else:
            number = self._last = self._returned.pop() if self._returned else self.draws.randrange(1000)
        return canary if number < self._per_mille else self.base

    def put_back(self) -> None:
        """The last draw decided nothing: the next request without a key gets it. So a request that is tried twice does
        not get two chances, which would take from the canary the requests that it cannot read."""
        if self._last is not None:
            self._returned.append(self._last)
            self._last = None

    def close(self) -> None:
        """The label is divided in another way from now on; what was counted is still there to be taken."""
        for version, arm in self._answering.items():
            if version.arms.get(self.share.label) is arm:
                version.arms = {label: other for label, other in version.arms.items() if other is not arm}
            if arm.mirror is not None:
                arm.mirror.close()
                arm.mirror = None
