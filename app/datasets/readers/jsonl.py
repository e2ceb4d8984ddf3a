"""JSON lines: one object a line, UTF-8; a list is a sequence, an absent key is null."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec
import numpy as np
import pyarrow as pa

from app.datasets.chunk import Chunk
from app.datasets.limits import Limits
from app.datasets.readers.jsonl_fast import line_ends, lines_with_long_integers, one_object_a_line, parse
from app.datasets.readers.rounded import RoundedNumbers
from app.datasets.upload_schema import Schema
from app.errors import InvalidInput, TooLarge, quote_name
from app.strict_json import read_json

_CHUNK_CELLS = 1 << 19
_CHUNK_BYTES = 4 << 20
_BLOCK_BYTES = 4 << 20
_FIRST_BLOCK_BYTES = 1 << 16
"""Short, because the first lines are always read with care: keys and types come from them."""
_INT64 = 2**63
_BLANK = b" \t\r\n"
_FLOATS = (pa.float64(), pa.list_(pa.float64()))
_ROW = msgspec.json.Decoder(dict[str, Any])


class JsonlReader:
    """Reads one file of JSON lines in one pass: known keys by Arrow, whole blocks at once, the rest line by line.

    Attributes:
        names: empty; columns come in the order in which their keys are first seen.
        warnings: what somebody should know of the columns; complete after the last chunk.

    Raises (all methods): InvalidInput or TooLarge, naming the line and where possible the key.
    """

    def __init__(self, file: BinaryIO, limits: Limits, schema: Schema) -> None:
        self._file = file
        self._limits = limits
        self._schema = schema
        self.names: list[str] = []
        self.warnings: list[str] = []
        self._types: dict[str, pa.DataType] = {}
        """Arrow type of every key seen so far."""
        self._next = 1
        """Number of the first line that is not read yet."""
        self._rounded = RoundedNumbers(schema)
        self._floats: dict[str, str] = {}
        """Key → place of its first number that is not written as an integer."""

    def chunks(self) -> Iterator[Chunk]:
        """The rows, typed as their values are."""
        for block in self._blocks():
            ends = line_ends(block)
            yield from self._fast(block, ends, self._next) or self._careful(block, self._next)
            self._next += len(ends)
        self.warnings += self._rounded.warnings("key", self._floats)

    def _blocks(self) -> Iterator[bytes]:
        """The file in pieces of whole lines, each of which ends with a newline."""
        piece = self._file.read(_FIRST_BLOCK_BYTES).removeprefix(b"\xef\xbb\xbf")
        tail = b""  # a line's beginning in the pieces before
        while more := self._file.read(_BLOCK_BYTES):
            if end := piece.rfind(b"\n") + 1:
                yield b"".join((tail, memoryview(piece)[:end]))
                tail = piece[end:]
            else:
                tail += piece
            if len(tail) > self._limits.max_line_bytes + 2:
                raise TooLarge.at("/file", f"Line {self._next}: longer than {self._limits.max_line_bytes} bytes.")
            piece = more
        rest = (tail + piece).rstrip(_BLANK)
        if rest:
            yield rest + b"\n"

    def _fast(self, block: bytes, ends: np.ndarray[Any, Any], number: int) -> list[Chunk] | None:
        """The rows of a block, if Arrow reads them as this reader would. None: nothing is known of them."""
        rows = len(ends)
        longest = int(np.diff(ends, prepend=-1).max())
        # memory for every known key in every row, whether a row has it or not
        if not self._types or rows * len(self._types) > 4 * _CHUNK_CELLS or longest > self._limits.max_line_bytes:
            return None
        if not one_object_a_line(block, ends):
            return None
        columns = parse(block, rows, self._types)
        if columns is None:
            return None

        def where(row: int) -> str:
            return f"Line {number + row}"

        lines = _Lines(block, ends, number)
        for name, array in columns.items():
            self._rounded.add(name, array, where, functools.partial(lines.values, name))
            if pa.types.is_large_binary(array.type) and (nulls := self._schema[name].spelling.null_values):
                cells = [None if cell is None or cell.decode().strip() in nulls else cell for cell in array.to_pylist()]
                columns[name] = pa.array(cells, pa.large_binary())
            # integers that the schema rounds are floats, as in the other rows of the column
            if self._rounds(name) and array.type == pa.int64():
                columns[name] = array.cast(pa.float64(), safe=False)
        return [Chunk(columns, rows, where)]

    def _rounds(self, name: str) -> bool:
        return self._schema[name].dtype == "float32"

    def _careful(self, block: bytes, first: int) -> Iterator[Chunk]:
        """The rows of a block, each line read by itself."""
        rows: list[dict[str, Any]] = []
        lines: list[int] = []
        size = 0
        for number, line in enumerate(block.split(b"\n"), first):
            text = line.strip()
            if len(text) > self._limits.max_line_bytes:
                raise TooLarge.at("/file", f"Line {number}: longer than {self._limits.max_line_bytes} bytes.")
            if not text:
                continue
            rows.append(self._row(text, number))
            lines.append(number)
            size += len(text)
            if size >= _CHUNK_BYTES or len(rows) * max(len(self._types), len(rows[-1])) >= _CHUNK_CELLS:
                yield self._chunk(rows, lines)
                rows, lines, size = [], [], 0
        if rows:
            yield self._chunk(rows, lines)

    def _row(self, text: bytes, line: int) -> dict[str, Any]:
        row = _parse(text, line)
        if not row.keys() <= self._types.keys():
            self._types = dict.fromkeys(row, pa.null()) | self._types
            if len(self._types) > self._limits.max_columns:
                raise TooLarge.at(
                    "/file",
                    f"Line {line}: more than {self._limits.max_columns} different keys so far. Use lists.",
                )
        return row

    def _chunk(self, rows: list[dict[str, Any]], lines: list[int]) -> Chunk:
        present: dict[str, None] = {}
        for row in rows:
            present.update(dict.fromkeys(row))
        columns = {}

        def where(row: int) -> str:
            return f"Line {lines[row]}"

        for name in present:
            plain = [row.get(name) for row in rows]
            if nulls := self._schema[name].spelling.null_values:
                plain = [None if isinstance(cell, str) and cell.strip() in nulls else cell for cell in plain]
            cells = _Cells(name, plain, lines, self._rounds(name))
            columns[name] = cells.array()
            cells.check_follows(self._types[name])
            self._rounded.add(name, columns[name], where, lambda some, cells=plain: ((row, cells[row]) for row in some))  # type: ignore[misc]
            if cells.kind in _FLOATS and name not in self._floats:
                self._floats[name] = f"on line {lines[cells.first_float]}"
            self._types[name] = _either(self._types[name], cells.kind)
        return Chunk(columns, len(rows), where)


class _Lines:
    """Lines that Arrow has read, for what it does not say: whether a number is written as an integer."""

    def __init__(self, block: bytes, ends: np.ndarray[Any, Any], number: int) -> None:
        self._block = block
        self._number = number  # of the first
        self._ends = ends
        self._rows: dict[int, dict[str, Any]] = {}

    @functools.cached_property
    def _long(self) -> set[int]:
        return lines_with_long_integers(self._block, self._ends)

    def values(self, name: str, rows: list[int]) -> Iterator[tuple[int, Any]]:
        """Row and value for those of the rows that have integers of eight digits, as all have that float32 rounds."""
        for row in sorted(self._long.intersection(rows)) if self._long else ():
            if row not in self._rows:
                begin = int(self._ends[row - 1]) + 1 if row else 0
                text = self._block[begin : int(self._ends[row])]
                try:
                    self._rows[row] = _ROW.decode(text)
                except (msgspec.MsgspecError, ValueError):
                    self._rows[row] = _parse(text.strip(), self._number + row)
            yield row, self._rows[row].get(name)


def _either(known: pa.DataType, seen: pa.DataType) -> pa.DataType:
    """The type by which Arrow's reader takes values of both types; for two that no column can have, the new one."""
    if pa.types.is_null(seen):
        return known
    if pa.types.is_list(known) and pa.types.is_list(seen):
        return pa.list_(_either(known.value_type, seen.value_type))
    return known if known == pa.float64() and seen == pa.int64() else seen


def _parse(text: bytes, line: int) -> dict[str, Any]:
    if text[:1] != b"{":
        hint = " Write one object a line, not a list of objects." if text[:1] == b"[" else ""
        raise InvalidInput.at("/file", f"Line {line}: every line must be a JSON object.{hint}")
    try:  # numbers that a double cannot hold and half surrogates are errors of their columns, which name the key
        row: dict[str, Any] = read_json(text, finite=False, characters=False, limits=None)
    except InvalidInput as error:
        raise InvalidInput.at("/file", f"Line {line}: {error.detail}") from None
    if "" in row:
        raise InvalidInput.at("/file", f"Line {line}: an empty key. Give it a name.")
    return row


class _Cells:
    """The values of one key in some lines, on their way to one Arrow array."""

    def __init__(self, name: str, cells: list[Any], lines: list[int], rounds: bool) -> None:
        self._name = name
        self._cells = cells
        self._lines = lines
        self._rounds = rounds  # the schema says float32, so that integers beyond int64 may be rounded
        self.kind = pa.null()
        """Arrow type of the cells; known when the array is made."""

    def array(self) -> pa.Array:
        kinds = set(map(type, self._cells))
        kinds.discard(type(None))
        if not kinds:
            return pa.nulls(len(self._cells))
        if kinds == {list}:
            return self._lists()
        self.kind = _arrow(kinds)
        return self._plain(self._cells, range(len(self._cells)), kinds, nested=False)

    @property
    def first_float(self) -> int:
        """Row of the first number that is not written as an integer, or that has one in its list."""
        kinds = (map(type, cell if isinstance(cell, list) else [cell]) for cell in self._cells)
        return next(row for row, found in enumerate(kinds) if float in found)

    def check_follows(self, known: pa.DataType) -> None:
        """Raises InvalidInput for booleans after numbers, or the other way round: both are stored as numbers, so that
        nobody else would see it."""
        if _is_bool(known) == _is_bool(self.kind) or not (_is_plain(known) and _is_plain(self.kind)):
            return
        row = next(row for row, cell in enumerate(self._cells) if cell is not None)
        before = "a boolean" if _is_bool(known) else "a number"
        family = _family(self._cells[row])
        raise self._error(row, f"{family}, where lines before have {before}. Give all lines the same type")

    def _lists(self) -> pa.Array:
        lengths = [0 if cell is None else len(cell) for cell in self._cells]
        flat = [item for cell in self._cells if cell is not None for item in cell]
        rows = [row for row, length in enumerate(lengths) for _ in range(length)]
        kinds = set(map(type, flat))
        if type(None) in kinds:
            raise self._error(rows[flat.index(None)], "a list with a null in it. Leave the element out")
        self.kind = pa.list_(_arrow(kinds))
        values = self._plain(flat, rows, kinds, nested=True) if flat else pa.nulls(0)
        offsets, total = [], 0
        for cell, length in zip(self._cells, lengths, strict=True):
            offsets.append(None if cell is None else total)
            total += length
        return pa.LargeListArray.from_arrays(pa.array([*offsets, total], pa.int64()), values)

    def _plain(self, cells: list[Any], rows: Any, kinds: set[type], nested: bool) -> pa.Array:
        """Numbers, texts or booleans; `rows[i]` is the row of cell i."""
        if kinds <= {int} and not self._rounds:
            return pa.array(self._within_int64(cells, rows), pa.int64())
        if kinds <= {int, float}:
            return pa.array(map(_float, self._within_int64(cells, rows)), pa.float64(), size=len(cells))
        if kinds == {str}:
            return pa.array(self._encoded(cells, rows), pa.large_binary())
        if kinds == {bool}:
            return pa.array(cells, pa.bool_())
        first = next(kind for kind in map(_family, cells) if kind)
        for cell, row in zip(cells, rows, strict=True):
            family = _family(cell)
            if family == "an object" or (nested and family == "a list"):
                raise self._error(row, f"{family} within. Give it as numbers, texts or flat lists in keys of their own")
            if family and family != first:
                raise self._error(row, f"{family}, where lines before have {first}. Give all lines the same type")
        raise AssertionError("cells of one family are handled above")

    def _within_int64(self, cells: list[Any], rows: Any) -> list[Any]:
        for index, cell in enumerate(cells):
            if type(cell) is int and not -_INT64 <= cell < _INT64:
                if not self._rounds:
                    raise self._error(
                        rows[index], "an integer beyond int64. Write it as text, or give dtype float32 in the schema"
                    )
                return [float(cell) if type(cell) is int and abs(cell) < 10**300 else cell for cell in cells]
        return cells

    def _encoded(self, cells: list[Any], rows: Any) -> list[bytes | None]:
        try:
            return [None if cell is None else cell.encode("utf-8") for cell in cells]
        except UnicodeEncodeError as error:
            row = rows[next(index for index, cell in enumerate(cells) if cell is error.object)]
            raise self._error(row, "half of a surrogate pair. Write the whole character") from None

    def _error(self, row: int, problem: str) -> InvalidInput:
        return InvalidInput.at("/file", f"Line {self._lines[row]}, key {quote_name(self._name)}: {problem}.")


def _is_bool(kind: pa.DataType) -> bool:
    return bool(pa.types.is_boolean(kind))


def _is_plain(kind: pa.DataType) -> bool:
    """Whether it is a type of numbers or booleans."""
    return kind in (pa.bool_(), pa.int64(), pa.float64())


def _arrow(kinds: set[type]) -> pa.DataType:
    """The type of values of these kinds: of one kind, or of integers and floats."""
    if float in kinds:
        return pa.float64()
    known = {int: pa.int64(), str: pa.string(), bool: pa.bool_()}
    return next((kind for python, kind in known.items() if python in kinds), pa.null())


def _float(cell: Any) -> float | None:
    return None if cell is None else float(cell)


def _family(cell: Any) -> str:
    """What a value is, in a word for a message; "" for null."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "a boolean"
    if isinstance(cell, (int, float)):
        return "a number"
    if isinstance(cell, str):
        return "text"
    return "a list" if isinstance(cell, list) else "an object"
