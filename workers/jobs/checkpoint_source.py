"""The checkpoint that a job of type evaluate, export or predict works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.datasets.table import Table, open_dataset
from app.errors import NotFound
from app.jobs.spec import EvaluateSpec, ExportSpec, PredictSpec, TrainSpec
from app.registry.checkpoints import CheckpointRepository
from workers.attempt.attempt import RunningAttempt
from workers.data import statistics
from workers.data.chunks import ArraySpill


@dataclass(frozen=True)
class CheckpointSource:
    """A checkpoint of a training job.

    Attributes:
        job, attempt, step: that wrote it; `checkpoint`: its id.
        path: the prefix of its files.
        spec: the training specification with all statistics.
    """

    job: str
    attempt: int
    step: int
    checkpoint: str
    path: Path
    spec: TrainSpec


def open_source(attempt: RunningAttempt, spec: EvaluateSpec | ExportSpec | PredictSpec) -> CheckpointSource:
    """The checkpoint that the job's specification names.

    Raises:
        NotFound: it is gone.
    """
    row = attempt.read(lambda session: CheckpointRepository(session).get(spec.source.checkpoint))
    path = attempt.fetch(row.path)
    if not path.with_name(path.name + ".index").exists():
        raise NotFound("The checkpoint's files are gone.")
    trained = spec.train_spec
    resolved = stored_statistics(attempt, trained, row.path.rpartition("/")[0])
    if resolved is None:  # trained before such files were kept: the same numbers again, from the data
        spill = ArraySpill(attempt.spill_directory / "statistics")
        resolved = statistics.resolve(trained, training_table(attempt, trained), spill)
    return CheckpointSource(row.job_id, row.attempt, row.step, row.id, path, resolved)


def stored_statistics(attempt: RunningAttempt, spec: TrainSpec, key: str) -> TrainSpec | None:
    """The specification with the statistics that an attempt's directory has; None: there are none."""
    try:
        file = attempt.fetch(f"{key}/{statistics.FILE}")
    except NotFound:
        return None
    return statistics.read(spec, file.parent)


def open_table(attempt: RunningAttempt, dataset: str) -> Table:
    """A data set by its id."""
    return open_dataset(attempt.fetch(attempt.storage.dataset_key(dataset)))


def training_table(attempt: RunningAttempt, spec: TrainSpec) -> Table:
    """The data set that a training specification names."""
    return open_table(attempt, spec.data.train.dataset)
