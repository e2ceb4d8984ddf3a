"""Columns packed by dtype and rank, so that a batch is one gather per pack and not one per column."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from collections.abc import Sequence as Sequence_
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from . import zero_copy
from .column_gathering import gather_batches, gather_sequences
from .column_types import Dictionary, Sequence, encode_strings, is_string
from .memory_map import RowSelection, drop_pages, return_freed_memory

#: Columns that take more bytes than this together stay where they are (memory maps) and are gathered outside the graph.
RESIDENT_BYTES = 1 << 27

Path = tuple[str, ...]
#: Pack, first and last column: `Packing.stacked`.
Stacks = Sequence_[tuple[str, int, int]]
Batch = tuple[Any, list[tf.Tensor]]


@dataclass(frozen=True)
class _Dense:
    """Where a dense column sits: columns `start:stop` of its pack."""

    path: Path
    pack: str
    dtype: str
    start: int
    stop: int
    shape: tuple[int, ...]
    words: int | None  # index of the vocabulary, for strings


@dataclass(frozen=True)
class _Ragged:
    """A sequence column: index of its values among the sequences, and of its vocabulary."""

    path: Path
    index: int
    words: int | None


class Packing:
    """How columns become a batch.

    Args:
        columns: nest of dicts of arrays, `Dictionary`s and `Sequence`s.

    Attributes:
        rows: number of rows.

    Raises:
        ValueError: no column, different numbers of rows, or an array that can't be a column.
    """

    def __init__(self, columns: Any) -> None:
        leaves = list(_leaves(columns, ()))
        if not leaves:
            raise ValueError("columns_input_fn got no columns; give a dict of name to array.")
        lengths = {"/".join(path) or "column": _rows(path, column) for path, column in leaves}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"All columns must have the same number of rows, they have {lengths}.")
        self.rows = next(iter(lengths.values()))
        self._nest = _rebuild(columns, (), dict.fromkeys((path for path, _ in leaves), True))
        self.dense: list[_Dense] = []
        self.ragged: list[_Ragged] = []
        self.words: list[Any] = []
        self._arrays: dict[str, list[Any]] = {}
        self._sequences: list[tuple[Any, Any]] = []
        self._widths: dict[str, int] = {}
        for path, column in leaves:
            self._add(path, column)
        self._lay_out()
        self.bytes = sum(_bytes(a) for parts in self._arrays.values() for a in parts)
        self.bytes += sum(_bytes(values) for values, _ in self._sequences)
        self.packs = sorted(self._arrays)
        self._value_dtypes = [values.dtype for values, _ in self._sequences]

    def _add(self, path: Path, column: Any) -> None:
        if isinstance(column, Sequence):
            values, words = self._plain(column.values)
            self.ragged.append(_Ragged(path, len(self._sequences), words))
            self._sequences.append((values, np.asanyarray(column.row_splits)))
            return
        values, words = self._plain(column)
        shape = tuple(values.shape[1:])
        width = int(np.prod(shape, dtype=np.int64))
        dtype = "string" if values.dtype.kind == "S" else values.dtype.name
        pack = dtype if shape else f"{dtype} scalar"
        start = self._widths.get(pack, 0)
        self._widths[pack] = start + width
        self._arrays.setdefault(pack, []).append(values)
        self.dense.append(_Dense(path, pack, dtype, start, start + width, shape, words))

    def _lay_out(self) -> None:
        """Lays the columns of a pack out by name: models take them in that order, often all at once."""
        self._layout: dict[str, list[_Dense]] = {}
        self._offsets: dict[Path, int] = {}
        for dense in sorted(self.dense, key=lambda dense: dense.path):
            before = self._layout.setdefault(dense.pack, [])
            self._offsets[dense.path] = sum(d.stop - d.start for d in before)
            before.append(dense)

    def _plain(self, column: Any) -> tuple[Any, int | None]:
        """Numbers of a column, and the index of the vocabulary that they are codes of."""
        if isinstance(column, Dictionary):
            self.words.append(column.words())
            codes = column.codes
            return codes, len(self.words) - 1
        array = column if isinstance(column, np.ndarray) else np.asarray(column)
        if isinstance(array, np.memmap) and array.dtype.kind == "S":
            return array, None  # too many to be encoded: each batch is given its own
        if is_string(array):
            return self._plain(encode_strings(array))
        return array, None

    @property
    def mapped(self) -> bool:
        """Whether there are memory-mapped files among the dense columns."""
        return any(isinstance(array, np.memmap) for parts in self._arrays.values() for array in parts)

    def pack(self, *, take_over: bool = False) -> list[Any]:
        """Packed arrays of all rows: a matrix per dtype, values and splits per sequence.

        They are new ones, made for `zero_copy.as_tensor`. `take_over` lets go of each column once it is packed: then
        this has to be the last that is asked of them.
        """
        packed = []
        for pack in self.packs:
            arrays = self._arrays[pack]
            matrix = zero_copy.empty((self.rows, self._widths[pack]), np.result_type(*arrays))
            for number, dense in enumerate(self._placed(pack)):
                flat = arrays[number].reshape(self.rows, -1)
                start = self._offsets[dense.path]
                matrix[:, start : start + flat.shape[1]] = flat
                drop_pages(arrays[number])
                if take_over:
                    arrays[number] = flat = None
            packed.append(matrix)
        for values, splits in self._sequences:
            packed += [zero_copy.copied(values), zero_copy.copied(np.asarray(splits, np.int64))]
        if take_over:
            self._arrays, self._sequences = {}, []
            return_freed_memory()
        return packed

    def gather(
        self, rows: Any, size: int, memory: zero_copy.ReusedMemory, stopped: threading.Event | None = None
    ) -> list[Any]:
        """Packed arrays of the rows of a window, which are batches of `size`, or a smaller one.

        As `pack` gives them, but packs of scalar numbers as `[columns, batches, size]`, in `memory`. Not complete once
        `stopped` is set.
        """
        packed, chosen = [], RowSelection(rows)
        for pack in self.packs:
            arrays = self._arrays[pack]
            columns = self._placed(pack)
            dtype = np.result_type(*arrays)
            if self.by_column(pack):
                offsets = [self._offsets[dense.path] for dense in columns]
                packed.append(gather_batches(arrays, offsets, chosen, size, dtype, memory, stopped))
                continue
            matrix = zero_copy.empty((len(rows), self._widths[pack]), dtype)
            # One after the other: the rows of all at once would be held twice.
            for array, dense in zip(arrays, columns, strict=True):
                flat = chosen.take(array).reshape(len(rows), -1)
                start = self._offsets[dense.path]
                matrix[:, start : start + flat.shape[1]] = flat
            packed.append(matrix)
        for values, splits in self._sequences:
            packed += [zero_copy.copied(part) for part in gather_sequences(values, splits, rows)]
        return packed

    def _placed(self, pack: str) -> list[_Dense]:
        return [dense for dense in self.dense if dense.pack == pack]

    def by_column(self, pack: str) -> bool:
        """Whether windows hold the pack column by column, each batch by batch."""
        name, _, scalar = pack.partition(" ")
        return bool(scalar) and name != "string" and zero_copy.shareable(np.dtype(name))

    def lengths(self) -> Any:
        """int64 `[rows]`: elements of each row's longest sequence.

        Raises:
            ValueError: there is no sequence.
        """
        if not self._sequences:
            raise ValueError("group_by_length needs a Sequence among the columns; leave it out for dense ones.")
        return np.max([np.diff(splits) for _, splits in self._sequences], axis=0)

    @property
    def compilable(self) -> bool:
        """Whether XLA can take batches apart: dense numbers only."""
        return not self.ragged and not self.words and not any(d.dtype == "string" for d in self.dense)

    def constants(self) -> list[tf.Tensor]:
        """Vocabularies as string tensors."""
        return [tf.constant(words) for words in self.words]

    def stacked(self, positions: Sequence_[int]) -> tuple[str, int, int] | None:
        """Where the components `positions` of a batch sit side by side: pack, first and last column; None if they
        are not scalar columns that follow one another in one pack."""
        named = {f"{i}": dense for i, dense in enumerate(self.dense)}
        made = {d.path: tf.TensorSpec([], tf.int32, name=key) for key, d in named.items()}
        made |= {r.path: tf.SparseTensorSpec([None, None], tf.int32) for r in self.ragged}
        flat = tf.nest.flatten(_rebuild(self._nest, (), made), expand_composites=True)
        found = [named.get(flat[position].name or "") for position in positions]
        first = found[0]
        if first is None or first.words is not None or not first.pack.endswith("scalar"):
            return None
        start = self._offsets[first.path]
        for i, dense in enumerate(found):
            if dense is None or dense.pack != first.pack or dense.words or self._offsets[dense.path] != start + i:
                return None
        return first.pack, start, start + len(found)

    def block(
        self, packed: list[Any], rows: tf.Tensor, first: tf.Tensor | None, stacks: Stacks = (), *, at_once: bool = True
    ) -> list[Any]:
        """In the graph: what the batches of `rows` `[batches, size]` are cut from.

        One gather for many batches (`at_once`) costs little more than one for a single small batch. Scalar columns are
        laid out column by column, so that taking them apart is a plain copy; those of packs that `stacks` names are
        left as they are. Wide batches are better gathered each in its step: then they are still in the processor's
        cache when the step reads them. `first` is the number of the first batch in a window (`gather`), else None.
        """
        made: list[Any] = [rows, tf.constant(0, tf.int64) if first is None else first]
        by_row = _packs(stacks)
        for pack, part in zip(self.packs, packed, strict=False):
            if not at_once or (first is not None and self.by_column(pack)):
                made.append(part)
                continue
            gathered = tf.gather(part, rows)
            by_column = pack.endswith("scalar") and pack not in by_row
            made.append(tf.transpose(gathered, [0, 2, 1]) if by_column else gathered)
        return made + list(packed[len(self.packs) :])

    def padded_block(
        self, packed: list[Any], rows: tf.Tensor, first: tf.Tensor | None, stacks: Stacks = ()
    ) -> list[Any]:
        """`block` of static shape, for `rows` of one."""
        if first is not None:
            numbers = first + tf.range(rows.shape[0], dtype=tf.int64)
            packed = [
                tf.gather(part, tf.minimum(numbers, tf.shape(part, tf.int64)[1] - 1), axis=1)
                if self.by_column(pack)
                else part
                for pack, part in zip(self.packs, packed, strict=True)
            ]
            first = tf.zeros([], tf.int64)
        return self.block(packed, rows, first, stacks)

    def batch(
        self, block: list[Any], words: list[Any], index: tf.Tensor, stacks: Stacks = (), *, windowed: bool = False
    ) -> Batch:
        """In the graph: the nest of tensors of the `index`-th batch of a block, and a matrix for each of `stacks`."""
        at, count, by_row = _At(index), 2 + len(self.packs), _packs(stacks)
        rows, parts = at.take(block[0]), []
        for part, pack in zip(block[2:count], self.packs, strict=True):
            if windowed and self.by_column(pack):
                by_row.discard(pack)
                parts.append(tf.gather(part, index + block[1], axis=1))
            elif part.shape.rank == 3:
                parts.append(at.take(part))
            else:
                gathered = tf.gather(part, rows)
                parts.append(tf.transpose(gathered) if pack.endswith("scalar") and pack not in by_row else gathered)
        return self._taken_apart([rows, *parts], block[count:], words, by_row, stacks)

    def single(
        self, packed: list[Any], words: list[Any], rows: tf.Tensor, first: tf.Tensor | None, stacks: Stacks = ()
    ) -> Batch:
        """In the graph: `batch` of the one that has `rows`, the `first`. It takes half of the operations."""
        count, by_row, parts = len(self.packs), set(self.packs), [rows]
        for part, pack in zip(packed[:count], self.packs, strict=True):
            if first is None or not self.by_column(pack):
                parts.append(tf.gather(part, rows))
            else:
                by_row.discard(pack)
                parts.append(tf.gather(part, first, axis=1))
        return self._taken_apart(parts, packed[count:], words, by_row, stacks)

    def _taken_apart(
        self, parts: list[tf.Tensor], sequences: list[Any], words: list[Any], by_row: Collection[str], stacks: Stacks
    ) -> Batch:
        rows, *matrices = parts
        size = rows.shape[0] or -1
        made: dict[Path, Any] = {}
        for matrix, pack in zip(matrices, self.packs, strict=True):
            columns = self._layout[pack]
            if pack.endswith("scalar"):
                split = tf.unstack(matrix, num=len(columns), axis=1 if pack in by_row else 0)
            else:
                widths = [dense.stop - dense.start for dense in columns]
                split = [matrix] if len(widths) == 1 else tf.split(matrix, widths, axis=1)
            for dense, part in zip(columns, split, strict=True):
                shaped = tf.reshape(part, [size, *dense.shape]) if len(dense.shape) > 1 else part
                made[dense.path] = shaped if dense.words is None else _decode(words[dense.words], shaped)
        for ragged in self.ragged:
            values, splits = sequences[2 * ragged.index], sequences[2 * ragged.index + 1]
            sequence = tf.gather(tf.RaggedTensor.from_row_splits(values, splits, validate=False), rows)
            if ragged.words is not None:
                sequence = sequence.with_flat_values(_decode(words[ragged.words], sequence.flat_values))
            made[ragged.path] = sequence.to_sparse()
        by_pack, wanted = dict(zip(self.packs, matrices, strict=True)), []
        for pack, start, stop in stacks:
            whole, all_of_it = by_pack[pack], (start, stop) == (0, self._widths[pack])
            if pack in by_row:
                wanted.append(whole if all_of_it else whole[:, start:stop])
            else:
                wanted.append(tf.transpose(whole if all_of_it else whole[start:stop]))
        return _rebuild(self._nest, (), made), wanted

    def spec(self, size: int | None) -> Any:
        """Nest of type specs of a batch of `size` rows (None if that differs)."""
        made: dict[Path, Any] = {}
        for d in self.dense:
            dtype = tf.string if d.words is not None else tf.as_dtype(d.dtype)
            made[d.path] = tf.TensorSpec([size, *d.shape], dtype)
        for r in self.ragged:
            dtype = tf.string if r.words is not None else tf.as_dtype(self._value_dtypes[r.index])
            made[r.path] = tf.SparseTensorSpec([size, None], dtype)
        return _rebuild(self._nest, (), made)

    def describe(self) -> str:
        """Text that is equal for columns of the same names, dtypes, shapes and number of rows."""
        return repr((self.rows, self.dense, self.ragged))


def _packs(stacks: Stacks) -> set[str]:
    return {pack for pack, _, _ in stacks}


class _At:
    """One index of a first dimension. `tensor[index]` would add five operations to the graph for each tensor."""

    def __init__(self, index: tf.Tensor) -> None:
        self._begin = tf.reshape(index, [1])
        self._strides = tf.ones([1], index.dtype)
        self._end = self._begin + self._strides

    def take(self, tensor: tf.Tensor) -> tf.Tensor:
        """`tensor[index]`."""
        return tf.raw_ops.StridedSlice(
            input=tensor, begin=self._begin, end=self._end, strides=self._strides, shrink_axis_mask=1
        )


def _bytes(array: Any) -> int:
    """What an array takes as a tensor: each string has a head of 24 bytes."""
    return int(array.nbytes + (24 * array.size if array.dtype.kind == "S" else 0))


def _decode(words: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """Strings of codes; the empty string that ends `words` stands for -1."""
    last = tf.cast(tf.shape(words)[0] - 1, codes.dtype)
    return tf.gather(words, tf.where(codes < 0, last, codes))


def _leaves(item: Any, path: Path) -> Any:
    if isinstance(item, Mapping):
        for key in item:
            yield from _leaves(item[key], (*path, str(key)))
    elif isinstance(item, tuple):
        for i, part in enumerate(item):
            yield from _leaves(part, (*path, str(i)))
    elif item is not None:
        yield path, item


def _rebuild(item: Any, path: Path, made: Mapping[Path, Any]) -> Any:
    if isinstance(item, Mapping):
        return {key: _rebuild(item[key], (*path, str(key)), made) for key in item}
    if isinstance(item, tuple):
        return tuple(_rebuild(part, (*path, str(i)), made) for i, part in enumerate(item))
    return None if item is None else made[path]


def _rows(path: Path, column: Any) -> int:
    if isinstance(column, Dictionary | Sequence):
        return len(column)
    shape = np.shape(column)
    if not shape:
        raise ValueError(f"Column {'/'.join(path)!r} has no rows: it is a scalar, not an array.")
    return int(shape[0])
