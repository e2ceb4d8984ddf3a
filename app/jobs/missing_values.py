"""Replacements of nulls: chosen here per feature, stored in the job, applied in training and in predict requests.

mean       numbers: the mean of the training rows
constant   one given value ("zero" is 0); -1 in a categorical column of whole numbers means: no category
category   strings: a category of their own, the string `(missing)`
empty      sequences: a list without items
drop       training and evaluation leave such rows out; a predict request must have a value
error      a null is refused, in training data and in a predict request
"""

from __future__ import annotations

from collections.abc import Mapping

from app.errors import quote_name
from app.jobs.dataset import Column, is_number, is_sequence
from app.jobs.feature_columns import ColumnUsage
from app.jobs.fields import Constant, MissingPolicy
from app.jobs.spec import DType, Feature, Missing
from app.json_pointer import pointer

MISSING_STRING = "(missing)"


def features(usage: ColumnUsage, requested: Mapping[str, MissingPolicy], at: str) -> tuple[Feature, ...]:
    """One entry per data column that the model reads, in the data set's order. The value of a mean is None until the
    training rows are known."""
    for name in requested:
        if usage.data.column(name) is None:
            usage.error(at + pointer(name), f"The data set has no column {quote_name(name)}.")
    return tuple(
        _feature(column, uses, requested.get(column["name"]), usage, at)
        for column in usage.data.columns
        if (uses := usage.uses.get(column["name"])) is not None
    )


def _feature(column: Column, uses: set[str], requested: MissingPolicy | None, usage: ColumnUsage, at: str) -> Feature:
    dtype = _dtype(column, uses)
    vocabulary = column.get("vocabulary") if dtype == "string" else None
    return Feature(
        name=column["name"],
        dtype=dtype,
        shape=tuple(column.get("shape") or ()),
        sequence=is_sequence(column),
        missing=_policy(column, dtype, uses, requested, usage, at),
        vocabulary=None if vocabulary is None else tuple(vocabulary),
        min=column.get("min"),
        max=column.get("max"),
    )


def _dtype(column: Column, uses: set[str]) -> DType:
    if not is_number(column):
        return "string"
    keeps_type = is_sequence(column) or "category" in uses or "raw" in uses
    return "int64" if keeps_type and column["dtype"] == "int64" else "float32"


def _policy(
    column: Column, dtype: DType, uses: set[str], requested: MissingPolicy | None, usage: ColumnUsage, at: str
) -> Missing:
    here = at + pointer(column["name"])
    policy = _default(column, dtype, uses) if requested is None else _requested(column, dtype, requested)
    if policy is None:
        usage.error(here, f"Column {quote_name(column['name'])} holds {_kind(column)}; it can't have this policy.")
        return Missing(policy="error")
    if policy.policy == "mean":
        mean = column.get("mean") if usage.exact_statistics else None
        return Missing(policy="mean", value=round(mean) if mean is not None and dtype == "int64" else mean)
    if policy.policy == "error" and (column.get("nulls") or 0) > 0:
        detail = (
            f"Column {quote_name(column['name'])} has {column['nulls']} nulls; give it a policy in 'missing' "
            "(drop, zero, or a constant) or leave the column out."
        )
        usage.error(here, detail)
    return policy


def _default(column: Column, dtype: DType, uses: set[str]) -> Missing:
    if is_sequence(column):
        return Missing(policy="empty", value=())
    if dtype == "string":
        return Missing(policy="category", value=MISSING_STRING)
    if column.get("shape") or (column.get("mean") is None):
        return Missing(policy="constant", value=0) if column.get("nulls") else Missing(policy="error")
    if uses == {"category"}:
        below_zero = column.get("min") is None or column["min"] < 0
        return Missing(policy="error") if below_zero else Missing(policy="constant", value=-1)
    return Missing(policy="mean")


def _requested(column: Column, dtype: DType, requested: MissingPolicy) -> Missing | None:
    """The requested policy; None if the column cannot have it."""
    number, sequence = dtype != "string", is_sequence(column)
    if requested in ("drop", "error"):
        return Missing(policy=requested)
    if requested == "empty":
        return Missing(policy="empty", value=()) if sequence else None
    if sequence:
        return None
    if requested == "category":
        return Missing(policy="constant", value=-1) if number else Missing(policy="category", value=MISSING_STRING)
    if requested == "mean":
        return Missing(policy="mean") if number and not column.get("shape") else None
    if requested == "zero":
        return Missing(policy="constant", value=0) if number else None
    assert isinstance(requested, Constant)
    value = requested.constant
    fits = isinstance(value, str) != number and not (dtype == "int64" and not isinstance(value, int))
    return Missing(policy="constant", value=value) if fits else None


def _kind(column: Column) -> str:
    kind = "numbers" if is_number(column) else "text"
    return f"lists of {kind}" if is_sequence(column) else kind
