"""A data set's description, as the registry gives it, and a request that trains on it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from app.errors import InvalidInput
from app.ids import new_id
from app.jobs.dataset import DatasetInfo
from app.jobs.parse import parse_job
from app.jobs.plan import JobPlan, TrainedSource
from app.jobs.spec import TrainSpec

PENGUINS = new_id("ds")


def number(name: str, low: float, high: float, mean: float = 0.0, stddev: float = 1.0, **more: Any) -> dict[str, Any]:
    column = {"name": name, "dtype": "float32", "sequence": False, "shape": [], "nulls": 0, "min": low, "max": high}
    return column | {"mean": mean, "stddev": stddev, "distinct": 90, "vocabulary": None} | more


def text(name: str, *words: str, **more: Any) -> dict[str, Any]:
    column = {"name": name, "dtype": "string", "sequence": False, "shape": [], "nulls": 0, "min": None, "max": None}
    column |= {"mean": None, "stddev": None, "distinct": len(words), "vocabulary": list(words)}
    return column | more


COLUMNS = [
    number("bill", 32.1, 59.6, 43.9, 5.5, nulls=2),
    number("mass", 2700, 6300, 4201.8, 802.0, dtype="int64"),
    text("island", "Biscoe", "Dream", "Torgersen"),
    text("sex", "male", "female", nulls=11),
    text("species", "Gentoo", "Adelie", "Chinstrap"),
    number("year", 2007, 2009, 2008, 0.8, dtype="int64", distinct=3),
    number("row", 0, 99, 49.5, 29, dtype="int64", distinct=100),
    text("words", "good", "bad", "ugly", sequence=True),
    number("heavy", 0, 1, 0.5, 0.5, dtype="int64", distinct=2),
]


def dataset(*extra: dict[str, Any], rows: int = 100, dataset_id: str = PENGUINS) -> DatasetInfo:
    """The penguins, with further or replaced columns."""
    columns = {column["name"]: column for column in [*copy.deepcopy(COLUMNS), *extra]}
    return DatasetInfo(dataset_id, "sha256:1", rows, list(columns.values()))


def request(**args: Any) -> dict[str, Any]:
    """A DNNClassifier over two columns; `args` replace or add estimator arguments."""
    columns = [
        {"type": "numeric_column", "key": "bill", "normalizer": "zscore"},
        {
            "type": "indicator_column",
            "categorical_column": {
                "type": "categorical_column_with_vocabulary_list",
                "key": "island",
                "vocabulary_list": ["Biscoe", "Dream", "Torgersen"],
            },
        },
    ]
    return {
        "type": "train",
        "model": "penguins",
        "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [8, 4], "feature_columns": columns} | args},
        "data": {"train": {"dataset": PENGUINS, "label": "species"}},
        "train": {"max_steps": 100},
    }


class FakeSources:
    """One trained state, found by any of its names."""

    def __init__(self, source: TrainedSource) -> None:
        self.source = source

    def version(self, model: str, number: int | None) -> TrainedSource | None:
        return self.source if model == self.source.model and number in (None, self.source.version) else None

    def checkpoint(self, checkpoint_id: str) -> TrainedSource | None:
        return self.source if checkpoint_id == self.source.checkpoint else None

    def job(self, job_id: str, step: int | None) -> TrainedSource | None:
        return self.source if job_id == self.source.job and step in (None, self.source.step) else None


DATA = dataset()


def find(dataset_id: str, data: Any = DATA) -> Any:
    return data if dataset_id == data.id else None


def train_spec(plan: JobPlan) -> TrainSpec:
    """The specification of a training job's plan."""
    assert isinstance(plan.spec, TrainSpec)
    return plan.spec


def errors(body: Any, **kwargs: Any) -> dict[str, str]:
    """Pointer to detail of a body that is refused."""
    with pytest.raises(InvalidInput) as caught:
        parse_job(body, kwargs.pop("datasets", find), **kwargs)
    return {error.pointer: error.detail for error in caught.value.errors}


def with_columns(*columns: dict[str, Any]) -> dict[str, Any]:
    return request(feature_columns=list(columns))
