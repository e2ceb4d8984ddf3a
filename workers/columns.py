"""A data set's columns as the model takes them: nulls filled by the recorded policy, labels encoded and checked, the
rows of a split. numpy only.

What has to be changed is copied: into memory when it is small, else into files of a scratch directory that are
memory-mapped, so that data larger than memory can be trained from disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.datasets.columns import Column, NumberColumn, SequenceColumn, StringColumn, Table
from app.errors import InvalidInput, quote_name

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64] | None
Json = dict[str, Any]

IN_MEMORY_BYTES = 64 * 2**20
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Coded:
    """Strings by code: int32 `codes` [rows] into `vocabulary`, an object array of bytes."""

    codes: Array
    vocabulary: Array


@dataclass(frozen=True)
class Lists:
    """A list per row: all elements one after the other, and int64 [rows + 1] `row_splits`."""

    values: Array | Coded
    row_splits: Array


Values = Array | Coded | Lists


class Scratch:
    """Arrays that may be too big for memory. Files are made in `directory` and die with it."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._number = directory, 0

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array to be filled."""
        dtype = np.dtype(dtype)
        if int(np.prod(shape, dtype=np.int64)) * dtype.itemsize <= IN_MEMORY_BYTES:
            return np.empty(shape, dtype)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._number += 1
        return np.lib.format.open_memmap(self._directory / f"{self._number}.npy", "w+", dtype, shape)


def select_rows(table: Table, holdout: float | None, part: str, needed: list[str]) -> Rows:
    """The rows of a part ("all", "train", "holdout") that have a value in each column of `needed`; None for all rows.

    Raises:
        InvalidInput: no row is left.
    """
    rows = None if part == "all" or holdout is None else table.split(holdout, part)
    for name in needed:
        null = _null_mask(table.column(name), slice(None) if rows is None else rows)
        if null.any():
            rows = (np.arange(table.rows, dtype=np.int64) if rows is None else rows)[~null]
    if (table.rows if rows is None else len(rows)) == 0:
        raise InvalidInput(f"No row is left in the part '{part}' of the data set; give more data or another holdout.")
    return rows


def dropped_columns(features: list[Json], labels: list[Json], weight: str | None, missing: Json) -> list[str]:
    """Columns without whose value a row is left out."""
    names = [feature["name"] for feature in features if feature["missing"]["policy"] == "drop"]
    others = [name for label in labels for name in label["columns"]] + ([weight] if weight else [])
    return names + [name for name in others if missing.get(name) == "drop"]


def refuse_missing(table: Table, names: list[str]) -> None:
    """
    Raises:
        InvalidInput: a row has no value in one of the columns.
    """
    for name in names:
        null = _null_mask(table.column(name), slice(None))
        if null.any():
            row = int(np.flatnonzero(null)[0])
            raise InvalidInput(f"Column {quote_name(name)} has no value in row {row + 1}, which the model needs.")


def feature_values(table: Table, features: list[Json], scratch: Scratch) -> dict[str, Values]:
    """Every feature with its missing values filled, by name."""
    return {feature["name"]: _feature(table, feature, scratch) for feature in features}


def _feature(table: Table, feature: Json, scratch: Scratch) -> Values:
    name, value = feature["name"], feature["missing"]["value"]
    if name not in table.names:
        return _constant(feature, table.rows)
    column = table.column(name)
    if isinstance(column, SequenceColumn):
        return Lists(_elements(column.values, feature["dtype"], scratch), column.row_splits)
    if feature["missing"]["policy"] == "error":
        refuse_missing(table, [name])
    if isinstance(column, StringColumn):
        return _strings(column, value, scratch)
    return _numbers(column, np.dtype(feature["dtype"]), 0 if value is None else value, scratch)


def _constant(feature: Json, rows: int) -> Values:
    """A column that the data set lacks: every row is missing."""
    value = feature["missing"]["value"]
    if feature["sequence"]:
        empty = np.empty(0, object if feature["dtype"] == "string" else feature["dtype"])
        return Lists(empty, np.zeros(rows + 1, np.int64))
    if feature["dtype"] == "string":
        return Coded(np.zeros(rows, np.int32), _objects([_encode(value)]))
    return np.full((rows, *feature["shape"]), value, feature["dtype"])


def _elements(values: NumberColumn | StringColumn, dtype: str, scratch: Scratch) -> Array | Coded:
    if isinstance(values, StringColumn):
        return _strings(values, "", scratch)
    return _numbers(values, np.dtype(dtype), 0, scratch)


def _numbers(column: NumberColumn, dtype: np.dtype[Any], fill: float, scratch: Scratch) -> Array:
    """The values with `fill` where null, [rows, *shape]; the stored array itself when nothing is to be changed."""
    values: Array = column.values.reshape(len(column.values), *column.shape)
    nulls = column.nulls if column.nulls is not None and column.nulls.any() else None
    if nulls is None and values.dtype == dtype:
        return values
    filled = scratch.empty(values.shape, dtype)
    for start in range(0, len(values), _CHUNK):
        part = slice(start, start + _CHUNK)
        filled[part] = values[part]
        if nulls is not None:
            filled[part][nulls[part] != 0] = fill
    return filled


def _strings(column: StringColumn, fill: str | None, scratch: Scratch) -> Array | Coded:
    missing = _encode(fill or "")
    if column.codes is None or column.dictionary is None:
        return _plain(column, missing, scratch)
    nulls = _any_null(column.codes)
    if not nulls:
        return Coded(column.codes, column.dictionary)
    known = np.flatnonzero(column.dictionary == missing)
    code = int(known[0]) if len(known) else len(column.dictionary)
    vocabulary = column.dictionary if len(known) else np.append(column.dictionary, _objects([missing]))
    codes = scratch.empty(column.codes.shape, np.int32)
    for start in range(0, len(codes), _CHUNK):
        part = slice(start, start + _CHUNK)
        codes[part] = np.where(column.codes[part] < 0, code, column.codes[part])
    return Coded(codes, vocabulary)


def _any_null(codes: Array) -> bool:
    return any(bool((codes[start : start + _CHUNK] < 0).any()) for start in range(0, len(codes), _CHUNK))


def _plain(column: StringColumn, missing: bytes, scratch: Scratch) -> Array:
    """Strings that are nearly all different: fixed-width bytes, as wide as the longest one."""
    assert column.offsets is not None
    widest = len(missing)
    for start in range(0, len(column), _CHUNK):
        lengths = np.diff(column.offsets[start : start + _CHUNK + 1])
        widest = max(widest, int(lengths.max(initial=0)))
    strings = scratch.empty((len(column),), f"S{max(widest, 1)}")
    for start in range(0, len(column), _CHUNK):
        part = slice(start, min(start + _CHUNK, len(column)))
        taken = column.take(part)
        taken[column.is_null(part)] = missing
        strings[part] = taken
    return strings


def label_values(table: Table, labels: list[Json], heads: dict[str | None, Json], rows: Rows, scratch: Scratch) -> Any:
    """The labels as the estimator takes them: of one head, or a dict of head name to labels.

    Args:
        heads: head name (None without heads) to what knows its `n_classes`.

    Raises:
        InvalidInput: a label that no class has; the message names column and row.
    """
    found = {entry["head"]: _label(table, entry, heads[entry["head"]], rows, scratch) for entry in labels}
    return found[None] if set(found) == {None} else found


def _label(table: Table, entry: Json, head: Json, rows: Rows, scratch: Scratch) -> Values:
    columns = [table.column(name) for name in entry["columns"]]
    name, kind = entry["columns"][0], entry["kind"]
    if kind == "multilabel":
        return _multi_hot(columns, entry, int(head["n_classes"]))
    column = columns[0]
    if len(columns) > 1:
        if not all(isinstance(c, NumberColumn) for c in columns):
            raise InvalidInput("Several label columns must all hold numbers.")
        parts = [np.asarray(c.values, np.float32).reshape(table.rows, -1) for c in columns]  # type: ignore[union-attr]
        return np.concatenate(parts, axis=1)
    _refuse_nulls(column, name, rows)
    if isinstance(column, SequenceColumn):
        return Lists(_elements(column.values, str(table.info(name)["dtype"]), scratch), column.row_splits)
    if isinstance(column, StringColumn):
        strings = _strings(column, "", scratch)
        if entry["vocabulary"] is not None:
            _check_words(strings, entry["vocabulary"], name, rows)
        return strings
    if kind == "number":
        return _numbers(column, np.dtype(np.float32), 0, scratch)
    if kind == "class":
        _check_classes(column.values, int(head.get("n_classes") or 2), name, rows)
    return _numbers(column, column.values.dtype, 0, scratch)


def _refuse_nulls(column: Column, name: str, rows: Rows) -> None:
    null = _null_mask(column, slice(None) if rows is None else rows)
    if null.any():
        place = int(np.flatnonzero(null)[0])
        row = place if rows is None else int(rows[place])
        raise InvalidInput(f"Label column {quote_name(name)} has no value in row {row + 1}; mend or drop such rows.")


def _check_words(strings: Array | Coded, vocabulary: list[str], name: str, rows: Rows) -> None:
    known = {_encode(word) for word in vocabulary}
    if isinstance(strings, Coded):
        bad = np.array([word not in known for word in strings.vocabulary], np.bool_)
        wrong = bad[strings.codes if rows is None else strings.codes[rows]]
    else:
        wrong = np.array([word not in known for word in (strings if rows is None else strings[rows])], np.bool_)
    _refuse(wrong, name, rows, "a value that is not in label_vocabulary")


def _check_classes(values: Array, n_classes: int, name: str, rows: Rows) -> None:
    values = values if rows is None else values[rows]
    wrong = (values < 0) | (values > n_classes - 1)
    _refuse(wrong, name, rows, f"a value outside 0 to {n_classes - 1}")


def _refuse(wrong: Array, name: str, rows: Rows, what: str) -> None:
    places = np.flatnonzero(wrong)
    if len(places):
        row = int(places[0] if rows is None else rows[places[0]])
        detail = f"Label column {quote_name(name)} has {what} in row {row + 1}"
        raise InvalidInput(f"{detail} and in {len(places) - 1} more; mend the data or the estimator's arguments.")


def _multi_hot(columns: list[Column], entry: Json, n_classes: int) -> Array:
    """int64 [rows, n_classes]: 1 for each class of the row."""
    column = columns[0]
    if not isinstance(column, SequenceColumn):
        parts = [np.asarray(c.values, np.int64) for c in columns if isinstance(c, NumberColumn)]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    total = len(column.row_splits) - 1
    hot = np.zeros((total, n_classes), np.int64)
    owners = np.repeat(np.arange(total), np.diff(column.row_splits))
    if isinstance(column.values, NumberColumn):
        classes = np.asarray(column.values.values)
        wrong = (classes < 0) | (classes >= n_classes)
    else:
        index = {_encode(word): number for number, word in enumerate(entry["vocabulary"])}
        words = column.values.take(slice(None))
        classes = np.array([index.get(word, -1) for word in words], np.int64)
        wrong = classes < 0
    if wrong.any():
        _refuse(wrong, entry["columns"][0], owners, "a class that no label has")
    hot[owners, classes] = 1
    return hot


def weight_values(table: Table, name: str, scratch: Scratch) -> Array:
    """float32 [rows].

    Raises:
        InvalidInput: the column does not hold one number per row.
    """
    column = table.column(name)
    if not isinstance(column, NumberColumn):
        raise InvalidInput(f"Weight column {quote_name(name)} must hold one number per row.")
    return _numbers(column, np.dtype(np.float32), 0, scratch)


def _null_mask(column: Column, rows: Any) -> Array:
    if isinstance(column, SequenceColumn):
        count = len(column.row_splits) - 1
        return np.zeros(count if isinstance(rows, slice) else len(rows), np.bool_)
    if isinstance(column, StringColumn):
        return np.asarray(column.is_null(rows))
    if column.nulls is None:
        return np.zeros(len(column.values[rows]), np.bool_)
    return np.asarray(column.nulls[rows] != 0)


def _encode(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _objects(values: list[bytes]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array
