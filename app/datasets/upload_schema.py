"""The optional schema that a client gives with a file.

`{"separator", "encoding", "null_values", "thousands", "decimal", "columns": {name: {"dtype", "sequence", "shape",
"null_values", "thousands", "decimal", "strip", "timestamp"}}}`; docs/datasets.md says what each does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from app.datasets.timestamps import TimestampSchema, parse_timestamp
from app.errors import FieldError, InvalidInput, quote_name
from app.json_pointer import escaped

DTYPES = ("float32", "int64", "string")
SEPARATORS = (",", ";", "\t", "|")
ENCODINGS = ("utf-8", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be")


@dataclass(frozen=True)
class Spelling:
    """How numbers and missing values are written.

    Attributes:
        null_values: texts that mean "no value", beside those that always do.
        thousands: between groups of digits, None if nothing is.
        decimal: before the fraction.
        strip: characters taken off both ends of a number ("$", "%").
    """

    null_values: tuple[str, ...] = ()
    thousands: str | None = None
    decimal: str = "."
    strip: str = ""

    @property
    def plain(self) -> bool:
        """Whether numbers are written as everywhere."""
        return self.thousands is None and self.decimal == "." and not self.strip


_PLAIN = Spelling()


@dataclass(frozen=True)
class ColumnSchema:
    """What the client says of one column; None leaves it to the data.

    Attributes:
        dtype: "float32", "int64" or "string" (of the elements, for lists).
        sequence: True: a list of any length a row; False: one value a row.
        shape: () one value a row; else every row is a list of exactly prod(shape) numbers (row-major).
        spelling: of this column, or of the whole file.
        numeric: whether the column's own entry spells numbers, so that it holds nothing else.
        timestamp: the numbers that the column's times become; None for a column that holds no times.
    """

    dtype: str | None = None
    sequence: bool | None = None
    shape: tuple[int, ...] = ()
    spelling: Spelling = _PLAIN
    numeric: bool = False
    timestamp: TimestampSchema | None = None

    @property
    def width(self) -> int | None:
        """Numbers in a row of a dense list; None for a column of single values."""
        return math.prod(self.shape) if self.shape else None

    @property
    def is_list(self) -> bool:
        return bool(self.sequence or self.shape)


@dataclass(frozen=True)
class Schema:
    """What the client says of a file.

    Attributes:
        columns: by name.
        separator: between the cells of a CSV file.
        encoding: of a text file.
        other: of the columns that `columns` does not name.
    """

    columns: dict[str, ColumnSchema] = field(default_factory=dict)
    separator: str = ","
    encoding: str = "utf-8"
    other: ColumnSchema = field(default_factory=ColumnSchema)

    def __getitem__(self, name: str) -> ColumnSchema:
        return self.columns.get(name, self.other)

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


_FILE_KEYS = {"columns", "separator", "encoding", "null_values", "thousands", "decimal"}
_COLUMN_KEYS = {"dtype", "sequence", "shape", "null_values", "thousands", "decimal", "strip", "timestamp"}


def parse_schema(value: object, max_sequence: int) -> Schema:
    """Reads the client's JSON value; None is the empty schema. Raises InvalidInput with JSON pointers."""
    if value is None:
        return Schema()
    if not isinstance(value, dict) or set(value) - _FILE_KEYS or not isinstance(value.get("columns", {}), dict):
        raise InvalidInput.at(
            "/schema",
            'The schema must look like {"columns": {"age": {"dtype": "float32"}}}; beside "columns" it may have '
            '"separator", "encoding", "null_values", "thousands" and "decimal".',
        )
    errors: list[FieldError] = []
    if value.get("separator", ",") not in SEPARATORS:
        errors.append(FieldError("/schema/separator", f"separator must be one of {_listed(SEPARATORS)}."))
    encoding = str(value.get("encoding", "utf-8")).lower()
    if encoding not in ENCODINGS:
        errors.append(FieldError("/schema/encoding", f"encoding must be one of {_listed(ENCODINGS)}."))
    if problem := _spelling_problem(value):
        errors.append(FieldError("/schema", problem))
    columns = {}
    for name, entry in value.get("columns", {}).items():
        found: TimestampSchema | str | None = _problem(entry, max_sequence)
        if found is None and entry.get("timestamp") is not None:
            found = parse_timestamp(entry["timestamp"])
        if isinstance(found, str):
            errors.append(FieldError(f"/schema/columns/{_escape(name)}", f"Column {quote_name(name)}: {found}"))
        elif not errors:
            columns[name] = _column(entry, value, found)
    if errors:
        raise InvalidInput(errors=errors)
    other = ColumnSchema(spelling=_spelling({}, value))
    return Schema(columns, value.get("separator", ","), encoding, other)


def _column(entry: dict[str, Any], file: dict[str, Any], timestamp: TimestampSchema | None) -> ColumnSchema:
    numeric = any(entry.get(key) is not None for key in ("thousands", "decimal", "strip"))
    shape = tuple(entry.get("shape") or ())
    return ColumnSchema(entry.get("dtype"), entry.get("sequence"), shape, _spelling(entry, file), numeric, timestamp)


def _spelling(entry: dict[str, Any], file: dict[str, Any]) -> Spelling:
    strip = entry.get("strip") or ""
    return Spelling(
        (*(file.get("null_values") or ()), *(entry.get("null_values") or ())),
        entry.get("thousands") or file.get("thousands"),
        entry.get("decimal") or file.get("decimal") or ".",
        strip if isinstance(strip, str) else "".join(strip),
    )


def _listed(values: Iterable[str]) -> str:
    return ", ".join({"\t": '"\\t"'}.get(value, f'"{value}"') for value in values)


def _problem(entry: Any, max_sequence: int) -> str | None:
    if not isinstance(entry, dict) or set(entry) - _COLUMN_KEYS:
        return f"give an object with any of {', '.join(sorted(_COLUMN_KEYS))}."
    if entry.get("dtype") not in (None, *DTYPES):
        return f"dtype must be one of {', '.join(DTYPES)}."
    if entry.get("sequence") not in (None, True, False):
        return "sequence must be true or false."
    if problem := _spelling_problem(entry):
        return problem
    spells = [key for key in ("thousands", "decimal", "strip") if entry.get(key) is not None]
    if spells and (entry.get("dtype") == "string" or entry.get("sequence") or entry.get("shape")):
        return f"{spells[0]} is for a column of single numbers."
    if entry.get("timestamp") is not None and entry.keys() - {"timestamp", "null_values"}:
        return "timestamp goes with null_values only: its features are numbers."
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


def _spelling_problem(entry: dict[str, Any]) -> str | None:
    nulls = entry.get("null_values")
    if nulls is not None and not (
        isinstance(nulls, list)
        and len(nulls) <= 100
        and all(isinstance(text, str) and len(text) <= 100 for text in nulls)
    ):
        return 'null_values must be a list of at most 100 texts, for example ["-", "n/k"].'
    thousands, decimal, strip = entry.get("thousands"), entry.get("decimal"), entry.get("strip")
    if thousands is not None and thousands not in (",", ".", " ", "'", "_", "\u00a0", "\u202f", "\u2019"):
        return "thousands must be a comma, a point, a blank, an apostrophe or an underscore."
    if decimal not in (None, ".", ","):
        return 'decimal must be "." or ",".'
    if thousands is not None and thousands == (decimal or "."):
        return 'thousands and decimal are the same; decimal is "." when it is left out.'
    texts = strip if isinstance(strip, list) else [strip or ""]
    if not all(isinstance(text, str) for text in texts) or len("".join(texts)) > 50:
        return 'strip must be a text of at most 50 characters, each taken off both ends of a cell, for example "$%".'
    if any(character.isdigit() or character in "+-.," for character in "".join(texts)):
        return "strip can't take off digits, signs, points and commas."
    return None


def _escape(name: object) -> str:
    return escaped(quote_name(name)[1:-1])
