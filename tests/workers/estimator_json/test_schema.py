"""`estimators.json` against the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.jobs import estimators
from app.jobs.json_schema import check
from workers.estimator_json import build as from_json
from workers.estimator_json import schema

#: Recorded cases of tf.estimator's second API; jobs do not take optimizers of `tf.compat.v1.train`.
CASES = [
    path
    for path in sorted((Path(__file__).parents[2] / "golden").glob("*/spec.json"))
    if json.loads(path.read_text()).get("api") != "v1"
]
DEFS = estimators.document()["$defs"]


def test_file_is_what_the_signatures_say() -> None:
    assert schema.text() == schema.PATH.read_text(), "run: python -m workers.estimator_json.schema"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.parent.name)
def test_recorded_arguments_fit_their_schema(path: Path) -> None:
    case = json.loads(path.read_text())
    assert check(case["args"], DEFS[case["estimator"]], "", DEFS) == []


@pytest.mark.parametrize("name", estimators.document()["optimizers"])
def test_every_optimizer_can_be_made_from_its_name(name: str) -> None:
    from_json.optimizer_from_json(name)
    from_json.optimizer_from_json({"type": name, "learning_rate": 0.1, "clipnorm": 1.0})


@pytest.mark.parametrize("name", schema.ARGUMENTS["activation_fn"]["enum"])
def test_every_activation_can_be_asked_for(name: Any) -> None:
    column = {"type": "numeric_column", "key": "x"}
    args = {"hidden_units": [2], "feature_columns": [column], "activation_fn": name}
    assert check(args, DEFS["DNNRegressor"], "", DEFS) == []
    from_json.estimator_from_json({"type": "DNNRegressor", "args": args})


@pytest.mark.parametrize("name", estimators.document()["initializers"])
def test_every_initializer_can_be_asked_for(name: str) -> None:
    categories = {"type": "categorical_column_with_identity", "key": "k", "num_buckets": 3}
    column = {"type": "embedding_column", "categorical_column": categories, "dimension": 2, "initializer": name}
    assert check(column, DEFS["embedding_column"], "", DEFS) == []
    from_json.column_from_json(column)


@pytest.mark.parametrize("name", schema.ARGUMENTS["loss_reduction"]["enum"])
def test_every_reduction_can_be_asked_for(name: str) -> None:
    from_json.head_from_json({"type": "RegressionHead", "loss_reduction": name})
