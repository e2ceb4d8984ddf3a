"""Warnings to the owner of a data set before training on it, from the columns' statistics."""

from __future__ import annotations

from typing import Any

from app.errors import quote_name

#: Columns of one kind that one warning names.
_NAMED = 5


def column_warnings(columns: list[dict[str, Any]], rows: int) -> list[str]:
    """A sentence for each kind of column that will teach a model nothing, or something else than was meant."""
    warnings = []
    dates = [column["name"] for column in columns if column.get("looks_like") == "date"]
    if dates:
        warnings.append(
            f"{_names(dates)}: dates as text, which a model takes for names without order. Upload again with "
            '{"timestamp": ["year", "month", "weekday"]} for the column in the schema.'
        )
    ids = [column["name"] for column in columns if _all_different(column, rows)]
    if ids:
        warnings.append(f"{_names(ids)}: every text is different (a name or an id), so nothing can be learned from it.")
    empty = [column["name"] for column in columns if column["nulls"] == rows]
    if empty:
        warnings.append(f"{_names(empty)}: no row has a value.")
    constant = [column["name"] for column in columns if _constant(column, rows)]
    if constant and rows > 1:
        warnings.append(f"{_names(constant)}: the same value in every row, so nothing can be learned from it.")
    return warnings


def _all_different(column: dict[str, Any], rows: int) -> bool:
    if column["dtype"] != "string" or column["sequence"] or column.get("looks_like") == "date" or rows < 20:
        return False
    filled: int = rows - column["nulls"]
    return bool(column["distinct"] == filled > 1)


def _constant(column: dict[str, Any], rows: int) -> bool:
    return not column["sequence"] and not column["shape"] and column["distinct"] == 1 and not column["nulls"]


def _names(names: list[str]) -> str:
    shown = ", ".join(quote_name(name) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{'Column' if len(names) == 1 else 'Columns'} {shown}{more}"
