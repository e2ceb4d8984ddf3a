"""Values that a parsed job request is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.errors import FieldError, InvalidInput
from app.jobs.dataset import DatasetInfo

Datasets = Callable[[str], DatasetInfo | None]


@dataclass(frozen=True)
class JobPlan:
    """A job that may be stored as it is. `spec` is complete: defaults are in, `"auto"` is resolved."""

    type: str
    model: str | None
    spec: dict[str, Any]
    queue: str = "default"
    priority: int = 5
    max_attempts: int = 3
    timeout_s: float | None = None  # of one attempt's run
    wait_timeout_s: float | None = None  # of waiting for a worker
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Limits:
    """What the operator allows; `app.config.Settings` has the same names."""

    max_parameters: int = 2_000_000_000
    max_columns: int = 10_000
    max_attempts: int = 3
    job_timeout_s: float | None = None
    job_memory_bytes: int | None = None


@dataclass(frozen=True)
class Source:
    """A trained state that another job starts from.

    Attributes:
        job: id of the training job; `step`: the global step of its checkpoint; `checkpoint`: that one's id.
        spec: the training job's complete specification.
        model, version: the registered version that was named, if one was.
    """

    job: str
    step: int
    checkpoint: str
    spec: dict[str, Any]
    model: str | None = None
    version: int | None = None

    def reference(self) -> dict[str, Any]:
        """What a job's specification keeps of it."""
        return {
            "job": self.job,
            "step": self.step,
            "checkpoint": self.checkpoint,
            "model": self.model,
            "version": self.version,
        }


class Sources(Protocol):
    """Finds what a request names; the registry has it."""

    def version(self, model: str, number: int | None) -> Source | None:
        """A model's version; without a number the one behind its label `latest`, else its newest."""

    def checkpoint(self, checkpoint_id: str) -> Source | None:
        """A checkpoint by its id."""

    def job(self, job_id: str, step: int | None) -> Source | None:
        """A training job's checkpoint at a step; without one its newest."""


class Mistakes(list[FieldError]):
    """Wrong places found so far."""

    def add(self, at: str, detail: str) -> None:
        self.append(FieldError(at, detail))

    def stop(self) -> None:
        """Raise InvalidInput when there are any. The first hundred are told."""
        if self:
            more = f" And {len(self) - 1} more." if len(self) > 1 else ""
            raise InvalidInput(f"{self[0].pointer or 'The request'}: {self[0].detail}{more}", list(self[:100]))
