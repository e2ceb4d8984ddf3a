"""Windows over columns: the order of the next rows, or, of columns too big to be held packed, these rows themselves.

Windows of rows are gathered by a thread while the steps run on the one before, where there is a second core for it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from . import zero_copy
from .column_packing import Packing
from .memory_map import RowSelection
from .shuffle import Order

#: Rows whose order goes into one call.
ORDER_ROWS = 1 << 20
WINDOW_BYTES = 1 << 26
#: Of shuffled columns a window is at least this part, so that an epoch reads them so many times, however big they are.
WINDOWS_PER_EPOCH = 32
#: The same for columns in memory, of which a window costs a pass over all of them.
_RESIDENT_WINDOWS_PER_EPOCH = 2
_WINDOW_EPOCHS = 256


@dataclass(frozen=True)
class Window:
    """Positions `begin` to `end` of a stream of rows.

    Attributes:
        begin: first position.
        end: the one after the last.
        order: where in `packed` the rows are.
        packed: the packed columns.
    """

    begin: int
    end: int
    order: tf.Tensor
    packed: list[tf.Tensor]


class Windows:
    """The windows of one run through columns.

    Args:
        packing: the columns.
        rows: which of their rows are used, all if None.
        order: of those rows.
        batch_size: rows per batch.
        shuffled: whether the order is not the columns' own.
        resident: the columns packed as a whole; None to gather each window's rows.
    """

    def __init__(
        self, packing: Packing, rows: Any, order: Order, batch_size: int, shuffled: bool, resident: Any
    ) -> None:
        self._order = order
        self._size = batch_size
        self._resident = resident
        if resident is not None:
            wanted = ORDER_ROWS if shuffled else ORDER_ROWS // 4
        else:
            wanted = _window_bytes(packing, shuffled) * packing.rows // max(packing.bytes, 1)
        self._memory = zero_copy.ReusedMemory()
        self._gatherer = _Gatherer(packing, rows, order, batch_size, wanted, resident is None, self._memory)
        self._window: Window | None = None
        self._ahead: _Ahead | None = None

    def at(self, begin: int) -> Window:
        """The window that holds the batch from `begin` on, as far as the stream goes."""
        window = self._window
        if window is not None and self._holds(window, begin):
            return window
        window = self._window = None  # its tensors go before the next ones come
        self._window = window = self._open(begin)
        return window

    def _holds(self, window: Window, begin: int) -> bool:
        """Whether the batch from `begin` on, which may be smaller at the end of the stream, is in a window."""
        return window.begin <= begin and (window.end == self._order.length or begin + self._size <= window.end)

    def close(self) -> None:
        """Lets go of the rows that are held, and ends the thread."""
        self._window = None
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None
        self._memory.close()

    def _open(self, begin: int) -> Window:
        if self._resident is not None:
            rows = self._gatherer.rows_from(begin)
            return Window(begin, begin + len(rows), zero_copy.as_tensor(zero_copy.copied(rows)), self._resident)
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.begin == begin:
            count, gathered = ahead.result()
        else:
            if ahead is not None:
                ahead.close()
            count, gathered = self._gatherer.gather(begin)
        window = Window(begin, begin + count, tf.range(count, dtype=tf.int64), [*map(zero_copy.as_tensor, gathered)])
        if has_second_core() and window.end != self._order.length:
            self._ahead = _Ahead(self._gatherer, window.end)
        return window


@dataclass(frozen=True)
class _Gatherer:
    """Gathers the rows of windows of about `wanted` rows. It knows none of them, so that a thread can hold it."""

    packing: Packing
    rows: Any
    order: Order
    size: int
    wanted: int
    whole_batches: bool  # and a smaller last one in a window of its own
    memory: zero_copy.ReusedMemory

    def rows_from(self, begin: int) -> Any:
        """Row numbers of the window at `begin`."""
        size = self.size
        wanted = max(min(self.wanted, _WINDOW_EPOCHS * self.order.rows), size)
        rows = self.order.slice(begin, wanted - wanted % size)
        if self.whole_batches and len(rows) > size:
            rows = rows[: len(rows) - len(rows) % size]
        return rows if self.rows is None else RowSelection(rows).take(self.rows)

    def gather(self, begin: int, stopped: threading.Event | None = None) -> tuple[int, list[Any]]:
        """Number of rows and packed arrays of the window at `begin`; not complete once `stopped` is set."""
        rows = self.rows_from(begin)
        return len(rows), self.packing.gather(rows, self.size, self.memory, stopped)


class _Ahead:
    """A thread that gathers the window at `begin`."""

    def __init__(self, gatherer: _Gatherer, begin: int) -> None:
        self.begin = begin
        self._made: list[Any] = []
        stopped = threading.Event()
        arguments = (gatherer, begin, stopped, self._made)
        # A daemon, for nobody waits for a window when the program ends; ended before that does, for it runs in numpy.
        self._thread = threading.Thread(target=_gather, args=arguments, name="columns-ahead", daemon=True)
        self._end = weakref.finalize(self, _stop, stopped, self._thread)
        self._thread.start()

    def result(self) -> tuple[int, list[Any]]:
        """Number of rows and packed arrays; raises what gathering them raised."""
        self._thread.join()
        made = self._made.pop()
        if isinstance(made, BaseException):
            raise made
        count, arrays = made
        return count, arrays

    def close(self) -> None:
        """Ends the thread after the column that it is at."""
        self._end()


def _gather(gatherer: _Gatherer, begin: int, stopped: threading.Event, made: list[Any]) -> None:
    try:
        made.append(gatherer.gather(begin, stopped))
    except BaseException as error:
        made.append(error)


def _stop(stopped: threading.Event, thread: threading.Thread) -> None:
    stopped.set()
    thread.join()


def has_second_core() -> bool:
    """Whether a thread would have a core of its own."""
    with contextlib.suppress(AttributeError):  # not on macOS
        return len(os.sched_getaffinity(0)) > 1
    return (os.cpu_count() or 1) > 1


def _window_bytes(packing: Packing, shuffled: bool) -> int:
    """How much of columns that are not held packed a window takes.

    Rows in random order touch nearly each page of a file and each line of an array, so every window of them costs a
    pass over the columns. A window that grows with these keeps the passes of an epoch from growing too.
    """
    if not shuffled:
        return WINDOW_BYTES
    if packing.mapped:
        return max(WINDOW_BYTES, packing.bytes // WINDOWS_PER_EPOCH)
    share = packing.bytes // _RESIDENT_WINDOWS_PER_EPOCH
    return max(WINDOW_BYTES, share // 2 if has_second_core() else share)  # two are held where one is gathered ahead
