"""A trained state that a job of type evaluate, export or predict works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.datasets.table import Table, open_dataset
from app.errors import NotFound
from app.registry.checkpoints import CheckpointRepository
from workers.attempt.attempt import Attempt
from workers.data import statistics
from workers.data.chunks import Scratch


@dataclass(frozen=True)
class Trained:
    """`path` is the checkpoint's prefix, `spec` the training specification with all statistics in."""

    job: str
    attempt: int
    step: int
    checkpoint: str
    path: Path
    spec: dict[str, Any]


def open_trained(attempt: Attempt) -> Trained:
    """The trained state that the job's specification names.

    Raises:
        NotFound: its checkpoint is gone.
    """
    source = attempt.spec["source"]
    row = attempt.read(lambda session: CheckpointRepository(session).get(source["checkpoint"]))
    path = attempt.storage.path(row.path)
    if not path.with_name(path.name + ".index").exists():
        raise NotFound("The checkpoint's files are gone.")
    spec = attempt.spec["train_spec"]
    resolved = statistics.read(spec, path.parent)
    if resolved is None:  # trained before such files were kept: the same numbers again, from the data
        resolved = statistics.resolve(spec, training_table(attempt, spec), Scratch(attempt.scratch / "statistics"))
    return Trained(row.job_id, row.attempt, row.step, row.id, path, resolved)


def training_table(attempt: Attempt, spec: dict[str, Any]) -> Table:
    """The data set that a training specification names."""
    key = attempt.storage.dataset_key(spec["data"]["train"]["dataset"])
    return open_dataset(attempt.storage.path(key))
