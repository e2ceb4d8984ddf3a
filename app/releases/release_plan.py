"""The plan of a release, as it stands in the registry."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Self


class ReleaseState(StrEnum):
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DONE = "DONE"
    ROLLED_BACK = "ROLLED_BACK"
    ABORTED = "ABORTED"


ACTIVE = (ReleaseState.RUNNING, ReleaseState.PAUSED)


@dataclass(frozen=True)
class Guards:
    """How much worse than the live version the new one may be; None: that is not looked at.

    Attributes:
        error_rate: share of failed requests beyond the live version's.
        p99_ratio: 99th percentile of the answers' times against the live version's.
        disagreement: share of a shadow's answers that are not the live version's.
        quality: share of wrong classes beyond the live version's, or so much more of its mean absolute error.
        window_s: the guards look at the last so many seconds, and at the whole step.
    """

    error_rate: float | None = 0.01
    p99_ratio: float | None = 1.5
    disagreement: float | None = None
    quality: float | None = None
    window_s: float = 60.0


@dataclass(frozen=True)
class ReleaseStep:
    """One share of a label's requests, for a time.

    Attributes:
        per_mille: the share of the label's requests that the new version answers.
        seconds: the step lasts at least so long.
        min_requests: and until the new version had so many requests.
        shadow: the new version answers nobody: it is asked copies of requests.
        guards: of this step; names that are left out are the plan's.
    """

    per_mille: int
    seconds: float
    min_requests: int = 0
    guards: dict[str, float | None] = field(default_factory=dict)
    shadow: bool = False


@dataclass(frozen=True)
class ReleasePlan:
    """All steps, one after the other; then the new version has the label.

    Attributes:
        split_by: the header that keeps a caller to one version.
    """

    steps: tuple[ReleaseStep, ...]
    guards: Guards = Guards()
    split_by: str | None = None

    def guards_of(self, step: int) -> Guards:
        return replace(self.guards, **self.steps[step].guards)  # type: ignore[arg-type]  # None where None may be

    def row(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        steps = tuple(ReleaseStep(**step) for step in row["steps"])
        return cls(steps, Guards(**row["guards"]), row["split_by"])
