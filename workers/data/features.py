"""A data set's columns as the engine's inputs: nulls filled by the recorded policy, labels encoded and checked, the
rows of a split.

Columns that have to be changed are copied: into memory when they are small, else into memory-mapped files, so that data
larger than memory can be trained from disk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from app.datasets.table import Column, NumberColumn, SequenceColumn, StringColumn, Table
from app.errors import InvalidInput, quote_name
from app.jobs.fields import MissingPolicy
from app.jobs.spec import Arguments, Feature, LabelSpec
from tf_estimator.inputs import Dictionary, Sequence
from workers.data.chunks import Array, ArraySpill, Rows, arrays, chunks, null_mask, where

Values = Array | Dictionary | Sequence


def select_rows(table: Table, holdout: float | None, part: str, needed: list[str], spill: ArraySpill) -> Rows:
    """The rows of a part ("all", "train", "holdout") that have a value in each column of `needed`; None for all rows.

    Raises:
        InvalidInput: no row is left.
    """
    columns = [table.column(name) for name in needed]
    read = [array for column in columns for array in arrays(column)]
    whole = part == "all" or holdout is None

    def is_left(chunk: slice) -> Array:
        left = np.ones(chunk.stop - chunk.start, np.bool_) if whole else table.split_mask(holdout or 0.0, part, chunk)
        for column in columns:
            left &= ~null_mask(column, chunk)
        return left

    rows: Rows = None
    if not whole or any(where(table.rows, None, arrays(c), functools.partial(null_mask, c))[1] for c in columns):
        read += [] if whole else [table.row_digests]
        found = (np.flatnonzero(is_left(chunk)) + chunk.start for chunk in chunks(table.rows, None, read))
        rows = spill.store(found, table.rows, np.int64)
    if (table.rows if rows is None else len(rows)) == 0:
        raise InvalidInput(f"No row is left in the part '{part}' of the data set; give more data or another holdout.")
    return rows


def dropped_columns(
    features: Iterable[Feature], labels: Iterable[LabelSpec], weight: str | None, missing: Mapping[str, MissingPolicy]
) -> list[str]:
    """Columns whose nulls exclude a row."""
    names = [feature.name for feature in features if feature.missing.policy == "drop"]
    others = [name for label in labels for name in label.columns] + ([weight] if weight else [])
    return names + [name for name in others if missing.get(name) == "drop"]


def refuse_missing(table: Table, names: list[str]) -> None:
    """Checks that the columns have a value in every row.

    Raises:
        InvalidInput: a row has no value in one of the columns.
    """
    for name in names:
        column = table.column(name)
        row, number = where(table.rows, None, arrays(column), functools.partial(null_mask, column))
        if number:
            raise InvalidInput(f"Column {quote_name(name)} has no value in row {row + 1}, which the model needs.")


def feature_values(table: Table, features: Iterable[Feature], spill: ArraySpill) -> dict[str, Values]:
    """Every feature with its missing values filled, by name."""
    return {feature.name: _feature(table, feature, spill) for feature in features}


def _feature(table: Table, feature: Feature, spill: ArraySpill) -> Values:
    name, value = feature.name, feature.missing.value
    if name not in table.names:
        return _constant(feature, table.rows)
    column = table.column(name)
    if isinstance(column, SequenceColumn):
        return Sequence(_elements(column.values, feature.dtype, spill), column.row_splits)
    if feature.missing.policy == "error":
        refuse_missing(table, [name])
    if isinstance(column, StringColumn):
        return _strings(column, value if isinstance(value, str) else None, spill)
    return _numbers(column, np.dtype(feature.dtype), value if isinstance(value, int | float) else 0, spill)


def _constant(feature: Feature, rows: int) -> Values:
    """A column that the data set lacks: every row has the replacement."""
    value = feature.missing.value
    if feature.sequence:
        empty = np.empty(0, object if feature.dtype == "string" else feature.dtype)
        return Sequence(empty, np.zeros(rows + 1, np.int64))
    if feature.dtype == "string":
        return Dictionary(np.broadcast_to(np.int32(0), (rows,)), _objects([_encode(value)]))
    return np.broadcast_to(np.asarray(value, feature.dtype), (rows, *feature.shape))


def _elements(values: NumberColumn | StringColumn, dtype: str, spill: ArraySpill) -> Array | Dictionary:
    if isinstance(values, StringColumn):
        return _strings(values, "", spill)
    return _numbers(values, np.dtype(dtype), 0, spill)


def _numbers(column: NumberColumn, dtype: np.dtype[Any], fill: float, spill: ArraySpill) -> Array:
    """The values with `fill` where null, [rows, *shape]; the stored array itself when nothing is to be changed."""
    values: Array = column.values.reshape(len(column.values), *column.shape)
    nulls = column.nulls if column.nulls is not None and _any(column.nulls) else None
    if nulls is None and values.dtype == dtype:
        return values

    def filled(chunk: slice) -> Array:
        part = values[chunk].astype(dtype)
        if nulls is not None:
            part[nulls[chunk] != 0] = fill
        return part

    return _made(filled, len(values), arrays(column), spill, dtype, values.shape[1:])


def _made(
    part: Callable[[slice], Array],
    count: int,
    read: list[Any],
    spill: ArraySpill,
    dtype: Any,
    shape: tuple[int, ...] = (),
) -> Array:
    """An array of `count` rows; `part` makes those of a chunk from the same rows of the arrays `read`."""
    return spill.store((part(chunk) for chunk in chunks(count, None, read)), count, dtype, shape)


def _any(flags: Array) -> bool:
    return where(len(flags), None, [flags], lambda chunk: flags[chunk] != 0)[1] > 0


def _strings(column: StringColumn, fill: str | None, spill: ArraySpill) -> Array | Dictionary:
    missing = _encode(fill or "")
    if column.codes is None or column.dictionary is None:
        return _plain(column, missing, spill)
    codes = column.codes
    if not where(len(codes), None, [codes], lambda chunk: codes[chunk] < 0)[1]:
        return Dictionary(codes, column.dictionary)
    known = np.flatnonzero(column.dictionary == missing)
    code = int(known[0]) if len(known) else len(column.dictionary)
    vocabulary = column.dictionary if len(known) else np.append(column.dictionary, _objects([missing]))

    def filled(chunk: slice) -> Array:
        return np.where(codes[chunk] < 0, code, codes[chunk])

    return Dictionary(_made(filled, len(codes), [codes], spill, np.int32), vocabulary)


def _plain(column: StringColumn, missing: bytes, spill: ArraySpill) -> Array:
    """Strings that are nearly all different, as fixed-width bytes in a file. The engine reads a batch's strings from a
    memory map; an array in memory it would encode whole."""
    offsets = column.offsets
    assert offsets is not None
    widest = max(len(missing), 1)
    for chunk in chunks(len(column), None, [offsets]):
        widest = max(widest, int(np.diff(offsets[chunk.start : chunk.stop + 1]).max(initial=0)))

    def filled(chunk: slice) -> Array:
        taken = column.take(chunk)
        taken[column.is_null(chunk)] = missing
        return taken.astype(f"S{widest}")

    parts = (filled(chunk) for chunk in chunks(len(column), None, arrays(column)))
    return spill.store(parts, len(column), f"S{widest}", as_file=True)


def label_values(
    table: Table, labels: Iterable[LabelSpec], heads: Mapping[str | None, Arguments], rows: Rows, spill: ArraySpill
) -> Any:
    """The labels as the estimator takes them: of one head, or a dict of head name to labels.

    Args:
        heads: head name (None without heads) to the arguments that hold its `n_classes`.

    Raises:
        InvalidInput: a label outside the classes; the message names column and row.
    """
    found = {label.head: _label(table, label, heads[label.head], rows, spill) for label in labels}
    return found[None] if set(found) == {None} else found


def _label(table: Table, label: LabelSpec, head: Arguments, rows: Rows, spill: ArraySpill) -> Values:
    columns = [table.column(name) for name in label.columns]
    name, kind = label.columns[0], label.kind
    if kind == "multilabel":
        return _multi_hot(columns, label, int(head["n_classes"]), spill)
    column = columns[0]
    if len(columns) > 1:
        if not all(isinstance(c, NumberColumn) for c in columns):
            raise InvalidInput("Several label columns must all hold numbers.")
        return _side_by_side(columns, np.float32, spill)
    _refuse_nulls(column, name, rows)
    if isinstance(column, SequenceColumn):
        return Sequence(_elements(column.values, str(table.info(name)["dtype"]), spill), column.row_splits)
    if isinstance(column, StringColumn):
        strings = _strings(column, "", spill)
        if label.vocabulary is not None:
            _check_words(strings, label.vocabulary, name, rows)
        return strings
    if kind == "number":
        return _numbers(column, np.dtype(np.float32), 0, spill)
    if kind == "class":
        _check_classes(column.values, int(head.get("n_classes") or 2), name, rows)
    return _numbers(column, column.values.dtype, 0, spill)


def _refuse_nulls(column: Column, name: str, rows: Rows) -> None:
    row, number = where(_length(column), rows, arrays(column), functools.partial(null_mask, column))
    if number:
        raise InvalidInput(f"Label column {quote_name(name)} has no value in row {row + 1}; fill or drop such rows.")


def _length(column: Column) -> int:
    if isinstance(column, SequenceColumn):
        return len(column.row_splits) - 1
    return len(column) if isinstance(column, StringColumn) else len(column.values)


def _check_words(strings: Array | Dictionary, vocabulary: Iterable[str], name: str, rows: Rows) -> None:
    known = {_encode(word) for word in vocabulary}
    if isinstance(strings, Dictionary):
        codes, bad = strings.codes, np.array([word not in known for word in strings.vocabulary], np.bool_)
        found = where(len(codes), rows, [codes], lambda chunk: bad[codes[chunk]])
    else:

        def unknown(chunk: Any) -> Array:
            return np.array([word not in known for word in strings[chunk].tolist()], np.bool_)

        found = where(len(strings), rows, [strings], unknown)
    _refuse(found, name, "a value that is not in label_vocabulary")


def _check_classes(values: Array, n_classes: int, name: str, rows: Rows) -> None:
    found = where(len(values), rows, [values], lambda chunk: (values[chunk] < 0) | (values[chunk] > n_classes - 1))
    _refuse(found, name, f"a value outside 0 to {n_classes - 1}")


def _refuse(found: tuple[int, int], name: str, what: str) -> None:
    row, number = found
    if number:
        detail = f"Label column {quote_name(name)} has {what} in row {row + 1}"
        raise InvalidInput(f"{detail} and in {number - 1} more; correct the data or the estimator's arguments.")


def _side_by_side(columns: list[Column], dtype: Any, spill: ArraySpill) -> Array:
    """Number columns as one array [rows, n]."""
    values = [column.values for column in columns if isinstance(column, NumberColumn)]
    width = sum(int(np.prod(array.shape[1:], dtype=np.int64)) for array in values)

    def joined(chunk: slice) -> Array:
        return np.concatenate([array[chunk].reshape(chunk.stop - chunk.start, -1) for array in values], axis=1).astype(
            dtype
        )

    return _made(joined, len(values[0]), values, spill, dtype, (width,))


def _multi_hot(columns: list[Column], label: LabelSpec, n_classes: int, spill: ArraySpill) -> Array:
    """int64 [rows, n_classes]: 1 for each class of the row."""
    column = columns[0]
    if not isinstance(column, SequenceColumn):
        return _side_by_side(columns, np.int64, spill)
    index = {_encode(word): number for number, word in enumerate(label.vocabulary or ())}

    def classes(chunk: slice) -> tuple[Array, Array]:
        """The classes of a chunk's rows, -1 for unknown ones, and the row (counted from the chunk's first) of each."""
        elements, splits = column.take(np.arange(chunk.start, chunk.stop))
        owners = np.repeat(np.arange(chunk.stop - chunk.start), np.diff(splits))
        if isinstance(column.values, NumberColumn):
            return np.where((elements < 0) | (elements >= n_classes), -1, elements), owners
        return np.array([index.get(word, -1) for word in elements], np.int64), owners

    def wrong(chunk: slice) -> Array:
        found, owners = classes(chunk)
        return np.bincount(owners[found < 0], minlength=chunk.stop - chunk.start) > 0

    def hot(chunk: slice) -> Array:
        found, owners = classes(chunk)
        part = np.zeros((chunk.stop - chunk.start, n_classes), np.int64)
        part[owners, found] = 1
        return part

    count, read = _length(column), arrays(column)
    _refuse(where(count, None, read, wrong), label.columns[0], "a class that no label has")
    return _made(hot, count, read, spill, np.int64, (n_classes,))


def weight_values(table: Table, name: str, spill: ArraySpill) -> Array:
    """float32 [rows].

    Raises:
        InvalidInput: the column does not hold one number per row.
    """
    column = table.column(name)
    if not isinstance(column, NumberColumn):
        raise InvalidInput(f"Weight column {quote_name(name)} must hold one number per row.")
    return _numbers(column, np.dtype(np.float32), 0, spill)


def _encode(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _objects(values: list[bytes]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array
