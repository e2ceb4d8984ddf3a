"""Defaults of a training, where nothing else is said: the same as the dashboard's form
(app/web/static/train.js and optimizer.js)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

BATCH_SIZE = 64
HOLDOUT = 0.2
HIDDEN_UNITS = "64,32"
_PASSES, _FEWEST_STEPS, _MOST_STEPS = 20, 1000, 20_000
_EVALUATIONS = 4
#: whole numbers of a label are classes while there are not more of them
_MOST_CLASSES = 20
_LABEL = re.compile(r"label|labels|target|class|outcome|y", re.IGNORECASE)
_FAMILY = re.compile(r"(DNNLinearCombined|DNN|Linear)(Classifier|Regressor)")
Column = dict[str, Any]


def is_class(column: Column) -> bool:
    """Whether a column looks like classes: text, or few different whole numbers that are close together."""
    if column["dtype"] != "int64" or column.get("distinct") is None or column.get("min") is None:
        return bool(column["dtype"] == "string")
    return bool(column["distinct"] <= _MOST_CLASSES and column["max"] - column["min"] < _MOST_CLASSES)


def likely_label(columns: Sequence[Column]) -> str:
    """The label is named so, or stands last or first, most of the time."""
    single = [column for column in columns if not column["sequence"]] or list(columns)
    named = next((column for column in single if _LABEL.fullmatch(column["name"])), None)

    def words(column: Column) -> bool:
        return column["dtype"] == "string" and is_class(column)

    first, last = single[0], single[-1]
    return str((named or (last if words(last) or not words(first) else first))["name"])


def estimator_for(label: Column) -> str:
    return "DNNClassifier" if is_class(label) else "DNNRegressor"


def steps_for(rows: int, batch_size: int) -> int:
    """Steps for some passes over the rows: enough for few rows, an affordable number for many."""
    return int(_rounded(min(_MOST_STEPS, max(_FEWEST_STEPS, _PASSES * rows / batch_size)), 2))


def evaluate_every(steps: int) -> int:
    """Steps between evaluations."""
    return max(1, int(steps / _EVALUATIONS + 0.5))


def optimizer_for(estimator: str, label: Column) -> dict[str, Any]:
    """The optimizer among the arguments of an estimator; nothing for one that keeps its own.

    The weights of a linear regressor are as large as its label, so its rate is too: one step of Adam changes a weight
    by about the rate.
    """
    found = _FAMILY.fullmatch(estimator)
    if found is None:
        return {}
    family, kind = found.groups()
    optimizer, rate = "Adam", 0.003
    if family == "Linear" and kind == "Regressor":
        size = max(abs(value) if value is not None else 1.0 for value in (label.get("min"), label.get("max")))
        rate = _rounded(max(0.01, size / 500), 1)
    elif family == "Linear":
        optimizer, rate = "Ftrl", 0.2
    name = "dnn_optimizer" if family == "DNNLinearCombined" else "optimizer"
    return {name: {"type": optimizer, "learning_rate": rate}}


def _rounded(value: float, digits: int) -> float:
    """With so many significant digits, halves away from zero as JavaScript does."""
    exact = Decimal(value)
    return float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), ROUND_HALF_UP))
