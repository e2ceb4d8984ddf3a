"""Warnings about the columns that a model would read: ids, dates, copies of the label, and columns
that take most of the parameters. Nothing here is an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from app.errors import quote_name
from app.jobs import parameters
from app.jobs.dataset import Column, DatasetInfo, is_number, is_sequence
from app.jobs.feature_columns import COLUMN_ARGUMENTS
from app.jobs.spec import Arguments

TIMESTAMP = '{"timestamp": ["year", "month", "weekday"]}'

#: Names that people give to ids.
_ID_NAME = re.compile(r"(?:^|[ _\-.])(?:id|uuid|guid|key|nr|no|number)$|[a-z](?:Id|ID|Nr)$", re.IGNORECASE)
_ROWS = 20  # with fewer rows, different values in all of them mean nothing
_MOSTLY = 0.9
_MANY_PARAMETERS = 100_000


def is_date(column: Column) -> bool:
    """Whether a column of text holds dates."""
    return column.get("looks_like") == "date"


def is_id(column: Column, rows: int) -> bool:
    """Whether a column's values name the rows: (nearly) all texts differ, or whole numbers that are called an id."""
    distinct, filled = column.get("distinct"), rows - (column.get("nulls") or 0)
    if is_sequence(column) or column.get("shape") or filled < _ROWS or distinct is None:
        return False
    if column["dtype"] == "string":
        return bool(_MOSTLY * filled <= distinct <= filled)
    named = _ID_NAME.search(column["name"]) is not None
    return bool(column["dtype"] == "int64" and named and distinct >= _MOSTLY * filled)


def copies(data: DatasetInfo, labels: Iterable[str]) -> dict[str, str]:
    """Columns whose cells all are those of a label: the column to the label."""
    found = {}
    for label in labels:
        column = data.column(label)
        fingerprint = column and column.get("fingerprint")
        if column is None or not fingerprint or column.get("distinct") == 1:
            continue
        for other in data.columns:
            if other["name"] != label and other.get("fingerprint") == fingerprint:
                found[other["name"]] = label
    return found


def advise(
    data: DatasetInfo,
    features: Sequence[str],
    labels: Sequence[str],
    args: Arguments,
    chosen: bool,
    warnings: list[str],
) -> None:
    """Adds sentences on the columns that the model reads.

    Args:
        features: columns of the data set that it reads.
        labels: columns that it learns.
        args: of the estimator, complete.
        chosen: whether the columns were chosen by "auto", which has left out dates, ids and copies and said so.
    """
    if not chosen:
        for name, label in copies(data, labels).items():
            if name in features:
                warnings.append(
                    f"Column {quote_name(name)} is a copy of the label {quote_name(label)}: the model will read the "
                    "answer from it. Name it in 'ignore'."
                )
        for name in features:
            column = data.column(name)
            if column is not None and is_date(column):
                warnings.append(
                    f"Column {quote_name(name)} holds dates as text, each a name without order. Upload the file with "
                    f"{TIMESTAMP} for it in the schema."
                )
            elif column is not None and is_id(column, data.rows):
                warnings.append(f"Column {quote_name(name)} looks like an id, from which nothing can be learned.")
    _largest(args, data, warnings)


def _largest(args: Arguments, data: DatasetInfo, warnings: list[str]) -> None:
    """The column that takes most of the parameters."""
    total = parameters.count(args)
    if total < _MANY_PARAMETERS:
        return
    without_hidden = "hidden_units" not in args and "dnn_hidden_units" not in args and "units" not in args
    for argument in COLUMN_ARGUMENTS:
        for column in args.get(argument) or ():
            wide = argument == "linear_feature_columns" or (argument == "feature_columns" and without_hidden)
            own = parameters.of_column(column, args, wide)
            name = parameters.key(column)
            if 2 * own > total and name is not None:
                known = data.column(name)
                distinct = known.get("distinct") if known is not None else None
                values = f" It has {distinct} different values." if distinct and known and not is_number(known) else ""
                warnings.append(f"Column {quote_name(name)} takes {own} of the model's {total} parameters.{values}")
                return
