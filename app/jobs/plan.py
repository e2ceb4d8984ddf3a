"""Values that a parsed job request is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from app.jobs.dataset import DatasetInfo
from app.jobs.spec import JobSpec, SourceReference, TrainSpec

Datasets = Callable[[str], DatasetInfo | None]


@dataclass(frozen=True)
class JobPlan:
    """A job that may be stored as it is. Times are in seconds: `timeout_s` of one attempt's run, `wait_timeout_s` of
    waiting for a worker."""

    spec: JobSpec
    queue: str = "default"
    priority: int = 5
    max_attempts: int = 3
    timeout_s: float | None = None
    wait_timeout_s: float | None = None
    warnings: list[str] = field(default_factory=list)
    display_name: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobLimits:
    """The operator's limits on jobs; `app.config.Settings` has the same names."""

    max_parameters: int = 2_000_000_000
    max_columns: int = 10_000
    max_attempts: int = 3
    job_timeout_s: float | None = None
    job_memory_bytes: int | None = None
    machine_memory_bytes: int | None = None
    """A job without a limit of its own is refused when its estimate is above this; it is not stored with the job."""


@dataclass(frozen=True)
class TrainedSource:
    """A trained state that another job starts from.

    Attributes:
        job: id of the training job; `step`: the global step of its checkpoint; `checkpoint`: that one's id.
        spec: the training job's specification.
        model, version: the registered version that was named, if one was.
    """

    job: str
    step: int
    checkpoint: str
    spec: TrainSpec
    model: str | None = None
    version: int | None = None

    def reference(self) -> SourceReference:
        """The part of it that a job's specification stores."""
        return SourceReference(
            job=self.job, step=self.step, checkpoint=self.checkpoint, model=self.model, version=self.version
        )


class TrainedSources(Protocol):
    """Finds the trained states that a request names; the registry implements it."""

    def version(self, model: str, number: int | None) -> TrainedSource | None:
        """A model's version; without a number the one behind its label `latest`, else its newest."""

    def checkpoint(self, checkpoint_id: str) -> TrainedSource | None:
        """A checkpoint by its id."""

    def job(self, job_id: str, step: int | None) -> TrainedSource | None:
        """A training job's checkpoint at a step; without one its newest."""
