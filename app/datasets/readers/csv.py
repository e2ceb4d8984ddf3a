"""CSV: comma (or what the schema says), RFC 4180 quotes, UTF-8 with or without a BOM, a header, any line end.

Two passes over the file: the first checks it and finds every column's type, the second gives typed chunks. The quick
way is the first pass alone: it gives its chunks by the types that each column has so far, and gives up where they were
others. Columns of floats, by the file's first rows, are converted by Arrow's parser there, without their texts.
"""

from __future__ import annotations

import copy
import io
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from app.datasets.chunk import Chunk
from app.datasets.limits import Limits
from app.datasets.readers.csv_bytes import CheckedText
from app.datasets.readers.csv_text import Dialect, find_fault, line_of_row, read_header
from app.datasets.readers.csv_types import NULLS, CellType, Kind, NotOfKind
from app.datasets.readers.doubt import Doubt
from app.datasets.readers.integer_cells import IntegerDigits
from app.datasets.readers.shared_file import SharedFile
from app.datasets.upload_schema import Schema
from app.errors import FieldError, InvalidInput, TooLarge, quote_name

_BLOCK = 2 << 20
_HEAD_BYTES = 1 << 16
_FIRST_CELLS = 64


class _Straddles(TooLarge):
    """A row is longer than the block that Arrow parses at a time."""

    def __init__(self) -> None:
        detail = "A row is longer than a line may be. Is a quote left open?"
        super().__init__(detail, [FieldError("/file", detail)])


class CsvReader:
    """Reads one CSV file.

    Attributes:
        names: columns, by the header.
        warnings: what somebody should know of the columns; complete after the last chunk.

    Raises (all methods): InvalidInput or TooLarge, naming the line and where possible the column.
    """

    def __init__(self, file: BinaryIO, limits: Limits, schema: Schema) -> None:
        self._file = SharedFile(file)
        self._limits = limits
        self._dialect = Dialect(schema.separator)
        self.names, self._start, self._line = read_header(file, limits, self._dialect)
        self.warnings: list[str] = []
        schema.check_names(self.names)
        self._schema = schema
        self._types: list[CellType] = []
        self._quick = False
        # Work on a column costs the same for a few rows as for many: wide tables take more rows at a time.
        self._block = min(max(_BLOCK, len(self.names) * 2000), 8 * _BLOCK)

    def quick(self) -> CsvReader:
        """A reader of the same file that also raises Doubt. The two share the file, which Arrow's threads may still be
        reading for the one when the other begins."""
        reader = copy.copy(self)
        reader.warnings = []
        reader._quick = True
        return reader

    def chunks(self) -> Iterator[Chunk]:
        """The rows, typed."""
        if self._quick:
            yield from self._first_pass()
            return
        try:
            self._find_types()
        except _Straddles:
            # Small blocks keep memory small; a row must fit into one, so these rows need larger ones.
            self._block = max(self._block, self._limits.max_line_bytes)
            self._find_types()
        rows = 0
        for batch in self._batches(self._data(), [cells.arrow for cells in self._types]):
            columns = {}
            for name, cells, array in zip(self.names, self._types, batch.columns, strict=True):
                columns[name] = cells.values(array)
            yield Chunk(columns, len(batch), lambda row, before=rows: self._where(before + row))  # type: ignore[misc]
            rows += len(batch)

    def _data(self) -> BinaryIO:
        return self._file.view(self._start)

    def _where(self, row: int) -> str:
        return f"Line {self._line_of(row)}"

    def _line_of(self, row: int) -> int:
        return line_of_row(self._data(), self._line, row, self._limits, self._dialect)

    def _find_types(self) -> None:
        for _ in self._first_pass():
            pass

    def _first_pass(self) -> Iterator[Chunk]:
        """The rows as their types are so far; of no use in the careful way."""
        floats = self._floats_of_head() if self._quick else [False] * len(self.names)
        self._types = [CellType(self._schema[name]) for name in self.names]
        for cells, is_float in zip(self._types, floats, strict=True):
            cells.kind = Kind.FLOAT if is_float else cells.kind
        # A row of our own behind the last one: when it does not come out again, an open quote has swallowed it.
        mark, marked = secrets.token_hex(16), floats.index(False)
        separator = self._schema.separator
        tail = f"\n{separator * marked}{mark}{separator * (len(self.names) - 1 - marked)}\n".encode("ascii")
        checked = CheckedText(self._data(), self._line, self.names, tail, self._limits, self._dialect)
        rows = 0
        last: pa.RecordBatch | None = None
        for batch in self._batches(checked, [pa.float64() if is_float else pa.large_string() for is_float in floats]):
            if last is not None:
                yield self._see(last, rows)
                rows += len(last)
            last = batch
        if last is None or not len(last) or last.column(marked)[-1].as_py() != mark:
            raise find_fault(self._data(), self._line, self.names, self._limits, self._dialect) or self._unreadable()
        if len(last) > 1:
            yield self._see(last.slice(0, len(last) - 1), rows)
        self._judge()

    def _floats_of_head(self) -> list[bool]:
        """Which columns Arrow's parser may convert itself: those of the first rows' that are of floats, whatever may
        come; never all of them."""
        head = self._data().read(_HEAD_BYTES)
        try:
            parsed = self._parsed(io.BytesIO(head[: head.rfind(b"\n") + 1]), [pa.large_string()] * len(self.names))
            batch = next(iter(parsed))
        except (pa.ArrowInvalid, StopIteration):  # no whole row, or a quote that goes on
            return [False] * len(self.names)
        found = [self._is_of_floats(name, batch.column(name)) for name in self.names]
        found[0] = found[0] and not all(found)
        return found

    def _is_of_floats(self, name: str, cells: pa.Array) -> bool:
        kind = CellType(self._schema[name])
        if not kind.untidy:
            try:  # what is not of floats mostly shows it at once
                pc.cast(cells.slice(0, _FIRST_CELLS), pa.float64())
                kind.see(cells, 0)
            except (NotOfKind, pa.ArrowInvalid):
                return False
        return kind.plainly_float

    def _judge(self) -> None:
        """Refuses columns that are numbers but for a few cells, all at once, and gathers the warnings."""
        errors: list[str] = []
        for name, cells in zip(self.names, self._types, strict=True):
            cells.decide()
            column = f"column {quote_name(name)}"
            if cells.kind is Kind.FLOAT and not cells.forced:
                self._judge_floats(cells.digits, column, errors)
            if cells.kind is not Kind.TEXT or cells.forced:
                continue
            if cells.leading_zero is not None:
                self.warnings.append(
                    f"{self._where(cells.leading_zero)}, {column}: a number that begins with a zero, so the column is "
                    'text (a code). If it holds quantities, give it dtype "int64" in the schema.'
                )
            elif (problem := cells.problem(name)) is not None:
                remedy = f'{problem.remedy}. If the column is text, give it dtype "string".'
                if problem.refused:
                    errors.append(f"{self._where(problem.row)}, {column}: {problem.what}. {remedy}")
                else:
                    self.warnings.append(
                        f"{self._where(problem.row)}, {column}: {problem.what}, so the column is text. {remedy}"
                    )
        if errors:
            raise InvalidInput(errors=[FieldError("/file", error) for error in errors])

    def _judge_floats(self, digits: IntegerDigits, column: str, errors: list[str]) -> None:
        """What became of the integers in a column of which some number is not written as one."""
        if digits.beyond is not None:
            errors.append(
                f"{self._where(digits.beyond)}, {column}: an integer beyond int64. Give the column "
                "dtype string (or float32, which rounds) in the schema."
            )
        elif digits.rounded is not None and digits.other is not None:
            self.warnings.append(
                f"{self._where(digits.rounded)}, {column}: an integer of more digits than float32 keeps, which the "
                f"column is since a number on line {self._line_of(digits.other)} is not written as an integer. Write "
                'that one as an integer, or give the column dtype "string" if it holds codes.'
            )
        elif digits.whole is not None and digits.other is not None and not digits.fractions:
            self.warnings.append(
                f"{self._where(digits.whole)}, {column}: a whole number of more digits than float32 keeps, which the "
                f"column is since a number on line {self._line_of(digits.other)} is not written as an integer, though "
                'all of them are whole. Write them as integers, or give the column dtype "string" if it holds codes.'
            )
        elif digits.needless and digits.other is not None:
            self.warnings.append(
                f"{self._where(digits.other)}, {column}: a number that is not written as an integer, so the column is "
                "float32, though all of its numbers are whole. Write it as an integer to have int64."
            )

    def _see(self, batch: pa.RecordBatch, rows_before: int) -> Chunk:
        columns = {}
        for name, cells, array in zip(self.names, self._types, batch.columns, strict=True):
            before = cells.kind
            if array.type == pa.float64():
                if not cells.are_plainly_float(array):
                    raise Doubt
                columns[name] = array
                continue
            try:
                values = cells.see(array, rows_before)
            except NotOfKind as error:
                raise InvalidInput.at(
                    "/file",
                    f"{self._where(rows_before + error.row)}, column {quote_name(name)}: the cell is not "
                    f"{_EXPECTED[cells.kind]}, as the schema says. Correct it, leave it empty, or change the schema.",
                ) from None
            if self._quick:
                if not cells.follows(before):
                    raise Doubt
                columns[name] = cells.values(array) if values is None else values
        return Chunk(columns, len(batch), lambda row: self._where(rows_before + row))

    def _unreadable(self) -> InvalidInput:
        return InvalidInput.at("/file", "The file does not read as CSV. Put cells with separators or quotes in quotes.")

    def _parsed(self, file: Any, types: list[pa.DataType]) -> Iterable[pa.RecordBatch]:
        return arrow_csv.open_csv(  # type: ignore[no-any-return]
            pa.PythonFile(file, "r"),
            arrow_csv.ReadOptions(column_names=self.names, block_size=self._block, use_threads=True),
            arrow_csv.ParseOptions(newlines_in_values=True, delimiter=self._schema.separator),
            arrow_csv.ConvertOptions(
                column_types=dict(zip(self.names, types, strict=True)), null_values=NULLS, strings_can_be_null=True
            ),
        )

    def _batches(self, file: Any, types: list[pa.DataType]) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._parsed(file, types)
        except pa.ArrowInvalid as error:
            if str(error).startswith("Empty CSV"):
                return
            fault = find_fault(self._data(), self._line, self.names, self._limits, self._dialect)
            if fault is None and "straddl" in str(error):
                raise _Straddles from error
            raise fault or self._unreadable() from error


_EXPECTED = {
    Kind.INTEGER: "an integer of 64 bits",
    Kind.FLOAT: "a number",
    Kind.LIST: "a JSON list of numbers or of texts",
}
