"""The optional schema that a client gives with a file: `{"columns": {name: {"dtype", "sequence", "shape"}}}`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.errors import FieldError, InvalidInput, quote_name

DTYPES = ("float32", "int64", "string")


@dataclass(frozen=True)
class ColumnSchema:
    """What the client says of one column; None leaves it to the data.

    Attributes:
        dtype: "float32", "int64" or "string" (of the elements, for lists).
        sequence: True: a list of any length a row; False: one value a row.
        shape: () one value a row; else every row is a list of exactly prod(shape) numbers (row-major).
    """

    dtype: str | None = None
    sequence: bool | None = None
    shape: tuple[int, ...] = ()

    @property
    def width(self) -> int | None:
        """Numbers in a row of a dense list; None for a column of single values."""
        return math.prod(self.shape) if self.shape else None

    @property
    def is_list(self) -> bool:
        return bool(self.sequence or self.shape)


_ANY = ColumnSchema()
_EMPTY: dict[str, ColumnSchema] = {}


@dataclass(frozen=True)
class Schema:
    columns: dict[str, ColumnSchema]

    def __getitem__(self, name: str) -> ColumnSchema:
        return self.columns.get(name, _ANY)

    def check_names(self, names: Iterable[str]) -> None:
        """Raises InvalidInput when the schema names a column that the file does not have."""
        known = set(names)
        errors = [
            FieldError(
                f"/schema/columns/{_escape(name)}",
                f"The schema names column {quote_name(name)}, which the file does not have. "
                "Take it out, or correct its name.",
            )
            for name in self.columns
            if name not in known
        ]
        if errors:
            raise InvalidInput(errors=errors)


def parse_schema(value: object, max_sequence: int) -> Schema:
    """Reads the client's JSON value; None is the empty schema. Raises InvalidInput with JSON pointers."""
    if value is None:
        return Schema(_EMPTY)
    if not isinstance(value, dict) or set(value) - {"columns"} or not isinstance(value.get("columns", {}), dict):
        raise InvalidInput.at("/schema", 'The schema must look like {"columns": {"age": {"dtype": "float32"}}}.')
    errors: list[FieldError] = []
    columns = {}
    for name, entry in value.get("columns", {}).items():
        problem = _problem(entry, max_sequence)
        if problem:
            errors.append(FieldError(f"/schema/columns/{_escape(name)}", f"Column {quote_name(name)}: {problem}"))
        else:
            columns[name] = ColumnSchema(entry.get("dtype"), entry.get("sequence"), tuple(entry.get("shape") or ()))
    if errors:
        raise InvalidInput(errors=errors)
    return Schema(columns)


def _problem(entry: Any, max_sequence: int) -> str | None:
    if not isinstance(entry, dict) or set(entry) - {"dtype", "sequence", "shape"}:
        return "give an object with any of dtype, sequence and shape."
    if entry.get("dtype") not in (None, *DTYPES):
        return f"dtype must be one of {', '.join(DTYPES)}."
    if entry.get("sequence") not in (None, True, False):
        return "sequence must be true or false."
    shape = entry.get("shape")
    if shape is None or shape == []:
        return None
    if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
        return "shape must be a list of positive integers, for example [3]."
    if len(shape) > 8 or math.prod(shape) > max_sequence:
        return f"shape may have 8 dimensions and {max_sequence} elements at most."
    if entry.get("sequence") or entry.get("dtype") == "string":
        return "a column with a shape holds numbers and is not a sequence."
    return None


def _escape(name: object) -> str:
    return quote_name(name)[1:-1].replace("~", "~0").replace("/", "~1")
