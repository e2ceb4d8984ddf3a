"""Job specifications as earlier releases stored them (`stored_specs/*.json`), and what their requests referred to.

Each file holds the `request`, the name of the `source` whose specification the job starts from (null: none), the
stored `spec` and the `warnings`. Where a file has `newer`, that is what today's code writes for the same job.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from app.jobs.dataset import DatasetInfo
from app.jobs.plan import TrainedSource
from app.jobs.spec import TrainSpec, decode
from tests.jobs.penguins import dataset, number, text

FOLDER = Path(__file__).with_name("stored_specs")
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))

DATASETS = {"ds_01k9zv0q2m8x4t6b3c5d7e9f1g", "ds_01k9zv0q2m8x4t6b3c5d7e9f2h"}
JOB, CHECKPOINT = "job_01k9zv0q2m8x4t6b3c5d7e9f3j", "ckpt_01k9zv0q2m8x4t6b3c5d7e9f4k"
COLUMNS = [
    text("note", "a", "b", nulls=3),
    number("readings", -1, 1, 0.1, 0.5, sequence=True, max_length=6),
    number("vector", 0, 1, shape=[3], mean=None, stddev=None),
    number("ratio", 0, 1, 0.4, 0.2, nulls=5),
    text("tags", "x", "y", "z", sequence=True),
    number("level", 0, 4, 2, 1, dtype="int64", sequence=True, max_length=6),
    text("user", distinct=90_000, vocabulary=None),
    number("year_is_odd", 0, 1, 0.5, 0.5, dtype="int64", distinct=2),
]


def stored(name: str) -> dict[str, Any]:
    """The content of one file."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return content


def find_dataset(dataset_id: str) -> DatasetInfo | None:
    return dataset(*copy.deepcopy(COLUMNS), dataset_id=dataset_id) if dataset_id in DATASETS else None


class StoredSources:
    """Every model, checkpoint and job is the one trained state of a stored training specification."""

    def __init__(self, name: str) -> None:
        spec = decode(stored(name)["spec"])
        assert isinstance(spec, TrainSpec)
        self._spec = spec

    def version(self, model: str, number: int | None) -> TrainedSource | None:
        return TrainedSource(JOB, 100, CHECKPOINT, self._spec, model, number or 3)

    def checkpoint(self, checkpoint_id: str) -> TrainedSource | None:
        return TrainedSource(JOB, 100, CHECKPOINT, self._spec)

    def job(self, job_id: str, step: int | None) -> TrainedSource | None:
        return TrainedSource(JOB, step or 200, CHECKPOINT, self._spec)
