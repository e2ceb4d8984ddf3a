"""What stands in for a null in each feature: chosen here, recorded in the job, applied in training and in predict.

mean       numbers: the mean of the training rows
constant   one given value ("zero" is 0); -1 in a categorical column of whole numbers means: no category
category   strings: a category of their own, the string `(missing)`
empty      sequences: a list without items
drop       training and evaluation leave such rows out; a predict request must have a value
error      a null is refused, in training data and in a predict request
"""

from __future__ import annotations

from typing import Any

from app.errors import FieldError, quote_name
from app.jobs.dataset import Column, is_number, is_sequence
from app.jobs.feature_columns import Reading
from app.jobs.json_schema import pointer

MISSING_STRING = "(missing)"
Policy = dict[str, Any]


def features(reading: Reading, asked: dict[str, Any], at: str) -> list[dict[str, Any]]:
    """One entry per data column that the model reads, in the data set's order: name, dtype, shape, sequence, missing
    (policy and value; the value of a mean is null until the training rows are known), vocabulary, min, max."""
    for name in asked:
        if reading.data.column(name) is None:
            reading.error(at + pointer(name), f"The data set has no column {quote_name(name)}.")
    result = []
    for column in reading.data.columns:
        uses = reading.uses.get(column["name"])
        if uses is not None:
            dtype = _dtype(column, uses)
            result.append(
                {
                    "name": column["name"],
                    "dtype": dtype,
                    "shape": list(column.get("shape") or ()),
                    "sequence": is_sequence(column),
                    "missing": _policy(column, dtype, uses, asked.get(column["name"]), reading, at),
                    "vocabulary": column.get("vocabulary") if dtype == "string" else None,
                    "min": column.get("min"),
                    "max": column.get("max"),
                }
            )
    return result


def _dtype(column: Column, uses: set[str]) -> str:
    if not is_number(column):
        return "string"
    return str(column["dtype"]) if is_sequence(column) or "category" in uses or "raw" in uses else "float32"


def _policy(column: Column, dtype: str, uses: set[str], asked: Any, reading: Reading, at: str) -> Policy:
    here = at + pointer(column["name"])
    policy = _default(column, dtype, uses) if asked is None else _asked(column, dtype, asked)
    if policy is None:
        detail = f"Column {quote_name(column['name'])} holds {_kind(column)}; it can't have this policy."
        reading.errors.append(FieldError(here, detail))
        return {"policy": "error", "value": None}
    if policy["policy"] == "mean":
        mean = column.get("mean") if reading.exact_statistics else None
        policy["value"] = round(mean) if mean is not None and dtype == "int64" else mean
    if policy["policy"] == "error" and (column.get("nulls") or 0) > 0:
        detail = (
            f"Column {quote_name(column['name'])} has {column['nulls']} nulls; give it a policy in 'missing' "
            "(drop, zero, or a constant) or leave the column out."
        )
        reading.errors.append(FieldError(here, detail))
    return policy


def _default(column: Column, dtype: str, uses: set[str]) -> Policy:
    if is_sequence(column):
        return {"policy": "empty", "value": []}
    if dtype == "string":
        return {"policy": "category", "value": MISSING_STRING}
    if column.get("shape") or (column.get("mean") is None):
        return {"policy": "constant", "value": 0} if column.get("nulls") else {"policy": "error", "value": None}
    if uses == {"category"}:
        below_zero = column.get("min") is None or column["min"] < 0
        return {"policy": "error", "value": None} if below_zero else {"policy": "constant", "value": -1}
    return {"policy": "mean", "value": None}


def _asked(column: Column, dtype: str, asked: Any) -> Policy | None:
    number, sequence = dtype != "string", is_sequence(column)
    if asked in ("drop", "error"):
        return {"policy": asked, "value": None}
    if asked == "empty":
        return {"policy": "empty", "value": []} if sequence else None
    if sequence:
        return None
    if asked == "category":
        return {"policy": "constant", "value": -1} if number else {"policy": "category", "value": MISSING_STRING}
    if asked == "mean":
        return {"policy": "mean", "value": None} if number and not column.get("shape") else None
    if asked == "zero":
        return {"policy": "constant", "value": 0} if number else None
    value = asked["constant"]
    fits = isinstance(value, str) != number and not (dtype == "int64" and not isinstance(value, int))
    return {"policy": "constant", "value": value} if fits else None


def _kind(column: Column) -> str:
    kind = "numbers" if is_number(column) else "text"
    return f"lists of {kind}" if is_sequence(column) else kind
