"""The careful side of CSV: header, and where a row stands. Slow, for the header and for error messages.

Arrow's parser is the fast side. Both take the same language: RFC 4180, where a quote in the middle of a cell stands
for itself, and blank lines are no rows.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

from app.datasets.limits import Limits
from app.errors import InvalidInput, TooLarge, UnsupportedMedia, quote_name

_CELL = re.compile(rb'"((?:[^"]|"")*+)"([^,\r\n]*)|([^",\r\n][^,\r\n]*)|', re.DOTALL)


def split_record(record: bytes) -> tuple[list[bytes], bool]:
    """The cells of one record (its line ends left off) and whether its last quote is still open."""
    cells = []
    position = 0
    while True:
        match = _CELL.match(record, position)
        assert match is not None  # the last alternative matches the empty cell
        end = match.end()
        if end < len(record) and record[end : end + 1] == b'"' and end == position:
            cells.append(record[end + 1 :])
            return cells, True
        quoted, rest, bare = match.groups()
        cells.append(quoted.replace(b'""', b'"') + rest if quoted is not None else bare or b"")
        if end >= len(record):
            return cells, False
        position = end + 1


def records(file: BinaryIO, line: int = 1) -> Iterator[tuple[int, bytes, bool]]:
    """Yields (number of the first line, record without its line end, quote left open) from the file's place on.

    Blank lines are left out. A record ends with the file at the latest.
    """
    held = b""
    first = line
    for physical in file:
        for part in physical.splitlines(keepends=True):
            if not held:
                first = line
            line += 1
            held += part
            bare = held.rstrip(b"\r\n") if held.count(b'"') == 0 else _strip_line_end(held)
            if b'"' in bare and split_record(bare)[1]:
                continue
            if bare:
                yield first, bare, False
            held = b""
    if held:
        yield first, held, True


def _strip_line_end(text: bytes) -> bytes:
    return text[:-2] if text.endswith(b"\r\n") else text[:-1] if text.endswith((b"\r", b"\n")) else text


def read_header(file: BinaryIO, limits: Limits) -> tuple[list[str], int, int]:
    """Column names, byte offset of the data and the number of its first line.

    Raises InvalidInput or TooLarge, naming the line and the column.
    """
    head = file.read(4)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInput.at("/file", "Line 1: the text is UTF-16. Save the file as UTF-8.")
    file.seek(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
    line, start = 0, file.tell()
    held = b""
    while True:
        physical = file.readline(limits.max_line_bytes + 1 - len(held))
        held += physical
        line += 1
        if len(held) > limits.max_line_bytes:
            raise TooLarge.at("/file", f"Line 1: the header is longer than {limits.max_line_bytes} bytes.")
        ended = held.splitlines(keepends=True)[0] if b'"' not in held else held
        bare = ended.rstrip(b"\r\n")
        cells, is_open = split_record(bare)
        if not physical or (bare and not is_open):
            break
        if not bare:
            held, start = b"", file.tell()
    file.seek(start + len(ended))
    if is_open:
        raise InvalidInput.at("/file", "Line 1: a quote in the header is never closed. Close it.")
    return _names(cells, bare, line, limits), start + len(ended), line + 1


def _names(cells: list[bytes], header: bytes, line: int, limits: Limits) -> list[str]:
    if not header:
        raise InvalidInput.at("/file", "The file has no header. Give the names of its columns in the first line.")
    if header.startswith(b"{") and header.rstrip().endswith(b"}"):
        raise UnsupportedMedia("The file's name says csv, but its content is JSON lines. Name it with .jsonl.")
    if b"\0" in header:
        raise InvalidInput.at("/file", f"Line {line}: the header holds a NUL byte. Save the file as UTF-8 text.")
    if len(cells) > limits.max_columns:
        raise TooLarge.at(
            "/file", f"Line {line}: {len(cells)} columns; {limits.max_columns} are allowed. Put numbers into a list."
        )
    try:
        names = [cell.decode("utf-8").strip() for cell in cells]
    except UnicodeDecodeError as error:
        raise InvalidInput.at("/file", f"Line {line}: the header is not UTF-8. Save the file as UTF-8.") from error
    seen: set[str] = set()
    for number, name in enumerate(names, 1):
        if not name:
            raise InvalidInput.at("/file", f"Line {line}, column {number}: the header names no column. Give it a name.")
        if name in seen:
            raise InvalidInput.at(
                "/file", f"Line {line}, column {number}: the name {quote_name(name)} comes twice. Rename one of them."
            )
        seen.add(name)
    if len(names) == 1 and (b";" in header or b"\t" in header):
        raise InvalidInput.at("/file", f"Line {line}: one column only. Separate the cells by commas.")
    return names


def line_of_row(file: BinaryIO, start: int, line: int, row: int) -> int:
    """Number of the line where row `row` (from 0) begins; reads the file from `start` (on line `line`) to there."""
    file.seek(start)
    for index, (first, _, _) in enumerate(records(file, line)):
        if index == row:
            return first
    return line


def find_fault(file: BinaryIO, start: int, line: int, names: list[str]) -> InvalidInput | None:
    """The first record that has another number of cells than the header, or an open quote."""
    file.seek(start)
    for first, record, is_open in records(file, line):
        if is_open:
            return unclosed(first, len(split_record(record)[0]), names)
        count = record.count(b",") + 1 if b'"' not in record else len(split_record(record)[0])
        if count != len(names):
            return InvalidInput.at(
                "/file",
                f"Line {first}: {count} cells, but the header has {len(names)} columns. Give every row one cell a "
                "column, and put cells with commas into quotes.",
            )
    return None


def unclosed(line: int, column: int, names: list[str]) -> InvalidInput:
    name = quote_name(names[min(column, len(names)) - 1])
    return InvalidInput.at(
        "/file", f"Line {line}, column {name}: the quote that opens here is never closed. Close it, or double it."
    )
