"""Batches straight from columns: shuffled and gathered where the steps run, not row by row."""

from __future__ import annotations

import hashlib
import random
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from . import column_packing, zero_copy
from .column_packing import Packing
from .memory_map import chunks
from .shuffle import Order
from .source import BatchSource, flatten
from .windows import Window, Windows

#: Gathered at once in the graph; batches of more bytes than the second are gathered one by one.
_BLOCK_BYTES = 1 << 23
_WIDE_BATCH_BYTES = 1 << 15

#: From so many columns side by side on, `turn_products` pays (at 100 it costs 4 µs of 50, at 150 it saves 10 of 80).
_TURNED_COLUMNS = 128

#: Batches that one compiled program takes.
COMPILED_BATCHES = 100


def columns_input_fn(
    features: Any,
    labels: Any = None,
    *,
    batch_size: int,
    num_epochs: int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    rows: Any = None,
    drop_remainder: bool = False,
    group_by_length: bool = False,
    take_over: bool = False,
) -> ColumnsInput:
    """An `input_fn` that takes batches out of columns.

    Batches run on over the end of an epoch; only the very last one can be smaller.

    Args:
        features: name to column: an array (first dimension rows; memory maps stay where they are), strings as an
            array of bytes, str or objects, a `Dictionary`, or a `Sequence`.
        labels: a column, or a dict of columns.
        batch_size: rows per batch.
        num_epochs: how often the rows come; None for ever.
        shuffle: whether each epoch has an order of its own.
        seed: of these orders; drawn, and kept in checkpoints, if None.
        rows: int64 row numbers to use, all if None.
        drop_remainder: leave out a smaller last batch.
        group_by_length: whether rows are exchanged among 50 batches at a time so that a batch holds sequences of
            similar length, and less of it is padding. All rows still come once an epoch.
        take_over: whether to empty the dicts of `features` and `labels` and hold their columns as one matrix per dtype
            instead, however big they are. Each column is let go once it is in there: memory holds the data twice for
            that moment, and once from then on if nothing else refers to the arrays. Left out, columns of more than
            128 MiB stay as they are, and windows of their rows are gathered, which is slower with hundreds of columns.

    Returns:
        A function to hand to `train`, `evaluate`, `predict`. Called by itself it returns a `tf.data.Dataset`.

    Raises:
        ValueError: no columns, no rows, different lengths, a batch size or epochs that are not positive,
            `group_by_length` without a sequence, or `take_over` of something else than dicts.
    """
    if batch_size <= 0:
        raise ValueError(f"batch_size must be positive, it is {batch_size}.")
    if num_epochs is not None and num_epochs <= 0:
        raise ValueError(f"num_epochs must be positive or None, it is {num_epochs}.")
    if take_over and not isinstance(features, MutableMapping):
        raise ValueError(f"take_over needs a dict of columns, which it empties; features is {type(features).__name__}.")
    columns = features if labels is None else (features, labels)
    chosen = None if rows is None else np.asanyarray(rows, np.int64)
    packed = Packing(columns)
    count = packed.rows if chosen is None else len(chosen)
    if chosen is not None:
        _check_rows(chosen, packed.rows)
    lengths = packed.lengths() if group_by_length else None
    made = ColumnsInput(packed, chosen, count, batch_size, num_epochs, shuffle, seed, drop_remainder, lengths)
    if take_over:
        _empty(columns)
        made.hold(take_over=True)
    return made


def _check_rows(chosen: Any, count: int) -> None:
    for part in chunks(chosen):
        if not (part.min() >= 0 and part.max() < count):
            raise ValueError(
                f"rows must be between 0 and {count - 1}, there are some from {part.min()} to {part.max()}."
            )


def _empty(columns: Any) -> None:
    """Empties the dicts among columns, and those in them."""
    parts = columns if isinstance(columns, tuple) else (columns,)
    for part in parts:
        if isinstance(part, MutableMapping):
            _empty(tuple(part.values()))
            part.clear()


class ColumnsInput:
    """What `columns_input_fn` returns: an `input_fn` that the engine reads without calling it."""

    def __init__(
        self,
        packed: Packing,
        rows: Any,
        count: int,
        batch_size: int,
        num_epochs: int | None,
        shuffle: bool,
        seed: int | None,
        drop_remainder: bool,
        lengths: Any = None,
    ) -> None:
        self.packing = packed
        self.rows = rows
        self.count = count
        self.batch_size = batch_size
        self.num_epochs = num_epochs
        self.shuffle = shuffle
        self.seed = seed
        self.drop_remainder = drop_remainder
        self.lengths = lengths if lengths is None or rows is None else lengths[rows]
        self.rows_digest: bytes | None = None
        self._resident: list[tf.Tensor] | None = None

    def __call__(self) -> tf.data.Dataset:
        """The same batches as a `tf.data.Dataset` of the current graph, gathered in Python."""
        source = ColumnsSource(self)

        def batches() -> Any:
            own = ColumnsSource(self, source.seed)
            while own.limit(1):
                yield tuple(part.numpy() for part in own.next())
                own.advance(1)

        structure = source.element_spec
        flat = tf.nest.flatten(structure, expand_composites=True)
        dataset = tf.data.Dataset.from_generator(batches, output_signature=tuple(flat))

        def pack(*parts: tf.Tensor) -> Any:
            return tf.nest.pack_sequence_as(structure, list(parts), expand_composites=True)

        return dataset.map(pack)

    def open_source(self) -> ColumnsSource:
        """A stream of batches from the beginning."""
        return ColumnsSource(self)

    @property
    def windowed(self) -> bool:
        """Whether the columns are too big to be held twice: windows of their rows are."""
        return self._resident is None and self.packing.bytes > column_packing.RESIDENT_BYTES

    def resident(self) -> list[tf.Tensor] | None:
        """The packed columns as tensors, made once; None when they are `windowed`."""
        if self._resident is None and not self.windowed:
            self.hold()
        return self._resident

    def hold(self, *, take_over: bool = False) -> None:
        """Packs the columns; `take_over`: and lets go of them."""
        with tf.device("CPU"):
            self._resident = [zero_copy.as_tensor(a) for a in self.packing.pack(take_over=take_over)]


class ColumnsSource(BatchSource):
    """One run through a `ColumnsInput`.

    Each call of a function gets a window: the order of the next rows and the columns, or, when these are too big, the
    rows of the next batches themselves (see `Windows`).
    """

    may_end = False
    same_everywhere = True
    _kind: Any = None

    def __init__(self, columns: ColumnsInput, seed: int | None = None) -> None:
        self._columns = columns
        given = columns.seed if columns.seed is not None else seed
        self.seed = random.getrandbits(63) if given is None else given
        self._taken = 0
        size = columns.batch_size
        self._whole = columns.num_epochs is None or columns.drop_remainder
        self.element_spec = columns.packing.spec(size if self._whole else None)
        self._windowed = columns.windowed
        self._signature = ("columns", columns.packing.describe(), size, repr(self.element_spec), self._windowed)
        batch_bytes = max(columns.packing.bytes * size // max(columns.packing.rows, 1), 1)
        self._block = max(_BLOCK_BYTES // batch_bytes, 1)
        self._at_once = batch_bytes < _WIDE_BATCH_BYTES
        self._words = columns.packing.constants()
        self._windows: Windows | None = None

    def _present(self) -> Window:
        columns = self._columns
        if self._windows is None:
            seed = self.seed if columns.shuffle else None
            order = Order(columns.count, columns.num_epochs, seed, columns.lengths, columns.batch_size)
            self._windows = Windows(
                columns.packing, columns.rows, order, columns.batch_size, columns.shuffle, columns.resident()
            )
        return self._windows.at(self._taken * columns.batch_size)

    def close(self) -> None:
        if self._windows is not None:
            self._windows.close()

    @property
    def signature(self) -> Any:
        if self._kind is None:  # chosen rows, many, or of a data set that is not held, are numbered in 64 bits
            self._kind = (*self._signature, repr(self.specs()))
        return self._kind

    def specs(self) -> list[tf.TensorSpec]:
        return [tf.TensorSpec(self._shape(a), a.dtype) for a in self.arguments()]

    def _shape(self, argument: tf.Tensor) -> list[int | None]:
        """What is the same in all calls: the number of columns, and in batch after batch that of rows."""
        if argument.shape.rank < 3:
            return [None, *argument.shape[1:]] if argument.shape.rank else []
        return [argument.shape[0], None, self._columns.batch_size if self._whole else None]

    def arguments(self) -> list[tf.Tensor]:
        window = self._present()
        offset = self._taken * self._columns.batch_size - window.begin
        return [tf.constant([offset], tf.int64), window.order, *window.packed, *self._words]

    def locate_stack(self, positions: Sequence[int]) -> Any:
        return self._columns.packing.stacked(positions)

    def turned(self, location: Any) -> bool:
        pack, start, stop = location
        return self._windowed and stop - start >= _TURNED_COLUMNS and self._columns.packing.by_column(pack)

    def block(self, steps: tf.Tensor, arguments: list[Any], stacks: Sequence[Any] = ()) -> list[Any]:
        offset, order, *rest = arguments
        size = self._columns.batch_size
        rows = _next(order, offset, steps * size)
        # Only a smaller last batch makes the second dimension differ, and it comes alone.
        width = size if self._whole else tf.cast(tf.shape(rows)[0], tf.int64) // steps
        count = len(rest) - len(self._words)
        rows = tf.reshape(rows, [-1, width])
        packed = self._columns.packing.block(rest[:count], rows, self._first(offset), stacks, at_once=self._at_once)
        return [*packed, *rest[count:]]

    def _first(self, offset: tf.Tensor) -> tf.Tensor | None:
        """Number of the batch at `offset` in a window that holds batches."""
        return tf.reshape(offset, []) // self._columns.batch_size if self._windowed else None

    @property
    def compiled_steps(self) -> int:
        """How many batches a program compiled by XLA can take at once; 0 if it can't take them apart."""
        if not (self._whole and self._columns.packing.compilable):
            return 0
        return int(min(self._block, COMPILED_BATCHES))

    def padded_block(self, steps: tf.Tensor, arguments: list[Any], stacks: Sequence[Any] = ()) -> list[Any]:
        offset, order, *packed = arguments
        size, most = self._columns.batch_size, self.compiled_steps
        rows = _next(order, offset, steps * size)
        rows = tf.reshape(tf.pad(rows, [[0, most * size - tf.size(rows)]]), [most, size])
        return self._columns.packing.padded_block(packed, rows, self._first(offset), stacks)

    def batch(self, index: tf.Tensor, block: list[Any], stacks: Sequence[Any] = ()) -> list[tf.Tensor]:
        count = len(block) - len(self._words)
        nest, matrices = self._columns.packing.batch(
            block[:count], block[count:], index, stacks, windowed=self._windowed
        )
        return flatten(nest) + matrices

    def single(self, arguments: list[Any], stacks: Sequence[Any] = ()) -> list[tf.Tensor]:
        offset, order, *rest = arguments
        rows = _next(order, offset, tf.constant(self._columns.batch_size, tf.int64))
        if self._whole:
            rows.set_shape([self._columns.batch_size])
        count = len(rest) - len(self._words)
        first = self._first(offset)
        nest, matrices = self._columns.packing.single(rest[:count], rest[count:], rows, first, stacks)
        return flatten(nest) + matrices

    def next(self) -> list[tf.Tensor]:
        """The components of the next batch, eagerly; `advance` goes on."""
        return self.single(self.arguments())

    def limit(self, steps: int) -> int:
        if self._columns.count == 0:
            return 0
        size, begin = self._columns.batch_size, self._taken * self._columns.batch_size
        if self._columns.num_epochs is not None:
            left = self._columns.count * self._columns.num_epochs - begin
            if left <= 0 or (self._columns.drop_remainder and left < size):
                return 0
        stop = self._present().end
        batches = (stop - begin) // size
        # The last batch of all may be smaller; it is the only one of its window's rest.
        return int(max(min(steps, batches, self._block if self._at_once else steps), 1))

    def advance(self, steps: int) -> None:
        self._taken += steps

    def state(self) -> dict[str, bytes]:
        return {
            "columns.taken": str(self._taken).encode(),
            "columns.seed": str(self.seed).encode(),
            "fingerprint": self._fingerprint(),
        }

    def restore(self, state: dict[str, bytes]) -> bool:
        if "columns.taken" not in state or state.get("fingerprint") != self._fingerprint():
            return False
        self._taken = int(state["columns.taken"])
        self.seed = int(state["columns.seed"])
        self.close()
        self._windows = None  # the order is another one
        return True

    def _fingerprint(self) -> bytes:
        c = self._columns
        if c.rows_digest is None:
            c.rows_digest = b"" if c.rows is None else _digest(c.rows)
        how = (c.num_epochs, c.shuffle, c.seed, c.drop_remainder, *(() if c.lengths is None else ("grouped",)))
        text = repr((c.packing.describe(), c.count, c.batch_size, *how))
        return hashlib.sha256(text.encode() + c.rows_digest).hexdigest().encode()


def _next(order: tf.Tensor, offset: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """So many of an order, from `offset` on; fewer at its end."""
    strides = tf.constant([1], tf.int64)
    return tf.raw_ops.StridedSlice(input=order, begin=offset, end=offset + count, strides=strides)


def _digest(rows: Any) -> bytes:
    """Of row numbers, which may be a mapped file."""
    digest = hashlib.sha256()
    for part in chunks(rows):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.digest()
