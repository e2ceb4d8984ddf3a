"""Known versions, the labels that point to them, and which of them have to be in memory. Plain values and
decisions: nothing here waits, loads or talks to a process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from app.errors import Conflict, NotFound, quote_name
from app.serving.kept_buffer import KeptBuffer
from app.serving.model_limits import AS_THE_SERVICE, ModelSettings
from app.serving.neighbours import Neighbours, NoNeighbours
from app.serving.serving_version import DEFAULT_LABEL, ServingVersion
from app.serving.split import Arm, Headers, Split
from app.serving.wanted_version import WantedVersion

UNUSED_S = 60.0
"""A version without a label that somebody asked for by number is kept so long after the last time."""


class Models:
    """All versions and labels. `sync` brings the registry's word; a label follows it once its new version is loaded.

    Args:
        clock: monotonic time, seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.versions: dict[tuple[str, int], ServingVersion] = {}
        self.gone: list[ServingVersion] = []
        self._settings: dict[str, ModelSettings] = {}
        self._labels: dict[tuple[str, str], ServingVersion] = {}
        self._previous: dict[str, ServingVersion] = {}
        self.neighbours: Neighbours = NoNeighbours()
        """Whoever serves beside us; labels move for all at once."""
        self.waits = False
        """A label could move, but for others."""
        self.here: Callable[[ServingVersion], bool] = lambda version: True
        """Whether our predictor is to have a version that is needed; else another lane's has it."""
        self._splits: dict[tuple[str, str], Split[ServingVersion]] = {}
        self.submit: Callable[..., None] | None = None
        """`Batcher.submit`, for copies to shadows."""
        self.kept = KeptBuffer()
        self._closed: list[tuple[float, Arm]] = []
        self._keys = time.monotonic_ns()
        """Of the last version: a predictor can have versions of an earlier process, with keys that are lower."""

    def sync(self, wanted: Sequence[WantedVersion]) -> bool:
        """Takes over the registry's state. Returns whether anything changed."""
        changed = False
        found = {(item.model, item.number): item for item in wanted}
        for place in [place for place in self.versions if place not in found]:
            self.gone.append(self.versions.pop(place))
            changed = True
        for place, item in found.items():
            version = self.versions.get(place)
            if version is not None and (version.wanted.path, version.wanted.digest) != (item.path, item.digest):
                self.gone.append(version)
                version = None
            if version is None:
                self._keys += 1
                version = self.versions[place] = ServingVersion(item, self._keys, self._clock)
                version.kept = self.kept
                version.due = bool(item.labels) or item.staged or item.previous
                changed = True
            elif version.wanted != item:
                newly = bool(set(item.labels) - set(version.wanted.labels))
                newly = newly or (item.previous and not version.wanted.previous)
                version.due = version.due or (newly and not version.loaded)
                version.wanted = item
                if version.queue is not None:
                    version.queue.settings = item.settings
                changed = True
        if changed:
            self._settings = {item.model: item.settings for item in wanted}
            self.apply_labels()
        return changed

    def apply_labels(self) -> None:
        """Points each label at its version, but not before that is loaded while the old one still serves."""
        targets = {
            (version.wanted.model, label): version
            for version in self.versions.values()
            for label in version.wanted.labels
        }
        self.waits = False
        for place in [place for place in self._labels if place not in targets]:
            del self._labels[place]
        for place, target in targets.items():
            current = self._labels.get(place)
            serves = current is not None and current.loaded and current not in self.gone
            if current is target or (serves and not target.loaded):
                continue
            if serves and not self.neighbours.everywhere(target):
                self.waits = True
                continue
            if current is not None:
                self._previous[place[0]] = current
            self._labels[place] = target
        self._divide()

    def _divide(self) -> None:
        """Makes the splits of the labels; one whose share is as before goes on."""
        splits = {}
        for (model, label), base in self._labels.items():
            for share in base.wanted.shares:
                if share.label == label:
                    known = self._splits.get((model, label))
                    canary = None if share.canary is None else self.versions.get((model, share.canary))
                    shadow = None if share.shadow is None else self.versions.get((model, share.shadow))
                    parts = (share, base, canary, shadow)
                    if known is None or (known.share, known.base, known.canary, known.shadow) != parts:
                        known = Split(model, *parts, self.submit)
                    splits[model, label] = known
        for place, known in self._splits.items():
            if known is not splits.get(place):
                known.close()
                self._closed += [(self._clock(), arm) for arm in known.arms]
        self._splits = splits

    def arms(self) -> list[Arm]:
        """What is counted for divided labels, also of those that a moment ago were divided otherwise: their last
        requests may still be under way."""
        now = self._clock()
        self._closed = [(since, arm) for since, arm in self._closed if now - since < UNUSED_S]
        return [arm for split in self._splits.values() for arm in split.arms] + [arm for _, arm in self._closed]

    def in_force(self) -> dict[tuple[str, str], int]:
        """Model and label → revision, of labels by which requests are answered as the registry says."""
        found = {}
        for place, base in self._labels.items():
            split = self._splits.get(place)
            ready = split is None or split.canary is None or split.canary.loaded
            if base.loaded and ready and (revision := base.wanted.revisions.get(place[1])):
                found[place] = revision
        return found

    def follow(self, model: str, label: str, revision: int) -> bool:
        """Whether we, and all who serve beside us, answer by a label as that revision of it says, or a later one."""
        known = self.in_force().get((model, label), 0)
        return known >= revision and self.neighbours.follow(model, label, revision)

    def labelled(self, model: str, label: str) -> ServingVersion | None:
        """The version that serves a label now."""
        return self._labels.get((model, label))

    def find(
        self, model: str, number: int | None, label: str | None, headers: Headers | None = None
    ) -> ServingVersion | None:
        """The version that a request means, of all protocols; None while the model's first version is on its way.

        Args:
            headers: of the request, by lower-case names: one of them may say to which version of a divided label it
                belongs.

        Raises:
            NotFound: no such model, version or label.
            Conflict: the version cannot be loaded.
        """
        if number is not None:
            version = self.versions.get((model, number))
            if version is None:
                raise NotFound(f"There is no version {number} of the model {quote_name(model)}.")
            version.asked_at = self._clock()
        else:
            version = self._labels.get((model, label or DEFAULT_LABEL))
            if version is None:
                self._check_on_its_way(model, label)
                return None
            if self._splits and (split := self._splits.get((model, label or DEFAULT_LABEL))) is not None:
                version = split.choose(headers)
        if version.error is not None and not version.loaded:
            raise Conflict(f"Version {version.wanted.number} of the model could not be loaded: {version.error}")
        return version

    def put_back(self, model: str, label: str | None) -> None:
        """The choice that `find` just made for a label was not used: it is the next one's."""
        if self._splits and (split := self._splits.get((model, label or DEFAULT_LABEL))) is not None:
            split.put_back()

    def look_up(self, model: str, number: int | None, label: str | None) -> ServingVersion:
        """As `find`, for looking only: a version that cannot be loaded is found too. Raises NotFound."""
        if number is not None and (version := self.versions.get((model, number))) is not None:
            return version
        if number is None and (version := self._labels.get((model, label or DEFAULT_LABEL))) is not None:
            return version
        self.versions_of(model)
        what = f"version {number}" if number is not None else f"label {quote_name(label or DEFAULT_LABEL)}"
        raise NotFound(f"The model has no {what}.")

    def settings_of(self, model: str) -> ModelSettings:
        return self._settings.get(model, AS_THE_SERVICE)

    def versions_of(self, model: str) -> list[ServingVersion]:
        """Versions of a model, the newest first. Raises NotFound."""
        found = [version for version in self.versions.values() if version.wanted.model == model]
        if not found:
            raise NotFound(f"There is no model {quote_name(model)}.")
        return sorted(found, key=lambda version: -version.wanted.number)

    def next_to_validate(self) -> ServingVersion | None:
        """A staged version that was not validated yet. The first version of all needs none: it can disturb nobody."""
        if not any(True for _ in self.held()):
            return None
        untried = (v for v in self.versions.values() if not v.validated and not v.loaded and v.error is None)
        staged = [version for version in untried if version.wanted.staged]
        return min(staged, key=lambda version: version.wanted.number, default=None)

    def to_load(self, *, unvalidated: bool) -> ServingVersion | None:
        """What to load next: first what requests wait for, then labelled, then staged versions.

        Args:
            unvalidated: also staged versions that are not validated.
        """
        now = self._clock()
        waiting, due = [], []
        for version in self.versions.values():
            if version.held or version.on_its_way or now < version.retry_at or not self.here(version):
                continue
            if version.wanted.staged and not version.validated and not unvalidated:
                continue
            if version.queue is not None and version.queue.waiting:
                waiting.append(version)
            elif version.due or (version.error is not None and version.wanted.labels):
                due.append(version)
        if waiting:
            return min(waiting, key=lambda version: version.queue.waiting[0].arrived if version.queue else 0.0)
        return min(due, key=lambda v: (not v.wanted.labels, v.wanted.settings.priority, v.wanted.number), default=None)

    def to_unload(self) -> ServingVersion | None:
        """A loaded version that is not needed any more and has no requests left."""
        for version in self.gone:
            if version.idle or not version.loaded:
                return version
        now = self._clock()
        for version in self.versions.values():
            wanted = version.wanted
            kept = wanted.previous or self._previous.get(wanted.model) is version
            needed = wanted.labels or wanted.staged or kept or version in self._labels.values()
            if version.held and version.idle and not needed and now - version.asked_at > UNUSED_S:
                return version
        return None

    def to_evict(self) -> ServingVersion | None:
        """The loaded version that goes where memory is short: of the last priority; an idle one first, then one without
        a label, then the one that was used least recently."""
        held = [version for version in self.versions.values() if version.held]
        return min(
            held,
            key=lambda v: (
                -v.wanted.settings.priority, not v.idle, bool(v.wanted.labels), v.queue.last_used if v.queue else 0.0
            ),
            default=None,
        )  # fmt: skip

    def all(self) -> list[ServingVersion]:
        """With those that are gone, but have requests still."""
        return [*self.versions.values(), *self.gone]

    def held(self) -> Iterable[ServingVersion]:
        """Those that our predictor has."""
        return (version for version in self.all() if version.held)

    @property
    def used_bytes(self) -> int:
        """Memory that what our predictor has is counted with."""
        return sum(version.bytes + version.onnx_bytes for version in self.held())

    def _check_on_its_way(self, model: str, label: str | None) -> None:
        if model not in self._settings:
            raise NotFound(f"There is no model {quote_name(model)}.")
        versions = self.versions_of(model)
        if any(version.wanted.staged and version.error is None for version in versions):
            return
        raise NotFound(f"The model has no version with the label {quote_name(label or DEFAULT_LABEL)}.")
