"""The careful side of CSV: header, and where a row stands. Slow, for the header and for error messages.

Arrow's parser is the fast side. Both take the same language: RFC 4180, where a quote in the middle of a cell stands
for itself, and blank lines are no rows.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from app.datasets.limits import Limits
from app.errors import InvalidInput, TooLarge, UnsupportedMedia, quote_name


class Dialect:
    """How cells are separated.

    Args:
        separator: one ASCII character.
    """

    def __init__(self, separator: str = ",") -> None:
        self.separator = separator.encode("ascii")
        cell = rb"[^" + re.escape(self.separator) + rb"\r\n]"
        self.rest = re.compile(rb'(?:[^"]|"")*+"' + cell + rb"*", re.DOTALL)
        first = rb'[^"' + re.escape(self.separator) + rb"\r\n]"
        self.cell = re.compile(rb'"((?:[^"]|"")*+)"(' + cell + rb"*)|(" + first + cell + rb"*)|", re.DOTALL)


#: What to do with a text of another encoding.
NOT_UTF8 = 'Save the file as UTF-8, or say its encoding in the schema: {"encoding": "cp1252"}.'
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}
_NO_HEADER = "The file has no header. Give the names of its columns in the first line."


def split_record(record: bytes, dialect: Dialect) -> list[bytes]:
    """The cells of one whole record, without its line end."""
    cells = []
    position = 0
    while position <= len(record):
        match = dialect.cell.match(record, position)
        assert match is not None  # the last alternative matches the empty cell
        quoted, rest, bare = match.groups()
        cells.append(quoted.replace(b'""', b'"') + rest if quoted is not None else bare or b"")
        position = match.end() + 1
    return cells


def count_separators(text: bytes, inside: bool, dialect: Dialect) -> tuple[int, bool]:
    """Separators between cells in a piece of a record, and whether it ends inside quotes.

    Args:
        text: one physical line, or the first part of it, without its line end.
        inside: whether the piece before ended inside quotes.
        dialect: see `Dialect`.
    """
    if not inside and b'"' not in text:
        return text.count(dialect.separator), False
    count = position = 0
    while True:
        match = (dialect.rest if inside else dialect.cell).match(text, position)
        if match is None or (text[match.end() : match.end() + 1] == b'"' and match.end() == position and not inside):
            return count, True
        if match.end() >= len(text):
            return count, False
        inside = False
        count += 1
        position = match.end() + 1


def records(file: BinaryIO, line: int, limits: Limits, dialect: Dialect) -> Iterator[tuple[int, int, bool]]:
    """Yields (number of the first line, number of cells, quote left open) for each record from the file's place on.

    Blank lines are left out. A record ends with the file at the latest. Raises TooLarge at a line over the limit.
    """
    first, separators, inside = line, 0, False
    while physical := file.readline(limits.max_line_bytes + 2):
        if len(physical.rstrip(b"\r\n")) > limits.max_line_bytes:
            raise TooLarge.at("/file", f"Line {line}: longer than {limits.max_line_bytes} bytes. Break it up.")
        for part in physical.splitlines():
            if not inside:
                first, separators = line, 0
            line += 1
            if part or inside:
                more, inside = count_separators(part, inside, dialect)
                separators += more
                if not inside:
                    yield first, separators + 1, False
    if inside:
        yield first, separators + 1, True


def read_header(file: BinaryIO, limits: Limits, dialect: Dialect) -> tuple[list[str], int, int]:
    """Column names, byte offset of the data and the number of its first line.

    Raises InvalidInput or TooLarge, naming the line and the column.
    """
    head = file.read(4)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInput.at(
            "/file",
            'Line 1: the text is UTF-16. Save the file as UTF-8, or say so in the schema: {"encoding": "utf-16"}.',
        )
    file.seek(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
    line, header, inside = 0, b"", False
    while True:
        start = file.tell()
        physical = file.readline(limits.max_line_bytes + 2)
        if not physical:
            raise InvalidInput.at(
                "/file", f"Line {line}: a quote in the header is never closed. Close it." if inside else _NO_HEADER
            )
        line += 1
        ended = physical.splitlines(keepends=True)[0]  # a lone carriage return ends a line, too
        file.seek(start + len(ended))
        if len(header) + len(ended) > limits.max_line_bytes:
            raise TooLarge.at("/file", f"Line {line}: the header is longer than {limits.max_line_bytes} bytes.")
        header += ended
        inside = count_separators(_strip_line_end(ended), inside, dialect)[1]
        if not inside:
            header = _strip_line_end(header)
            if header:
                return _names(header, line, limits, dialect), start + len(ended), line + 1


def _strip_line_end(text: bytes) -> bytes:
    return text[:-2] if text.endswith(b"\r\n") else text[:-1] if text.endswith((b"\r", b"\n")) else text


def _names(header: bytes, line: int, limits: Limits, dialect: Dialect) -> list[str]:
    if header.startswith(b"{") and header.rstrip().endswith(b"}"):
        raise UnsupportedMedia("The file's name says csv, but its content is JSON lines. Name it with .jsonl.")
    if b"\0" in header:
        raise InvalidInput.at("/file", f"Line {line}: the header holds a NUL byte. Save the file as UTF-8 text.")
    cells = split_record(header, dialect)
    if len(cells) > limits.max_columns:
        raise TooLarge.at(
            "/file", f"Line {line}: {len(cells)} columns; {limits.max_columns} are allowed. Put numbers into a list."
        )
    try:
        names = [cell.decode("utf-8").strip() for cell in cells]
    except UnicodeDecodeError as error:
        raise InvalidInput.at("/file", f"Line {line}: the header is not UTF-8. {NOT_UTF8}") from error
    seen: set[str] = set()
    for number, name in enumerate(names, 1):
        if not name:
            raise InvalidInput.at("/file", f"Line {line}, column {number}: the header names no column. Give it a name.")
        if name in seen:
            raise InvalidInput.at(
                "/file", f"Line {line}, column {number}: the name {quote_name(name)} comes twice. Rename one of them."
            )
        seen.add(name)
    if (
        len(names) == 1
        and not header.startswith(b'"')
        and (other := next((sign for sign in _SEPARATORS if sign.encode() in header), None))
    ):
        raise InvalidInput.at(
            "/file",
            f"Line {line}: one column only, but {_SEPARATORS[other]} in its name. Where they separate the cells, say "
            f"so in the schema: {json.dumps({'separator': other})}.",
        )
    return names


def line_of_row(file: BinaryIO, line: int, row: int, limits: Limits, dialect: Dialect) -> int:
    """Number of the line where row `row` (from 0) begins; the file stands at row 0, on line `line`."""
    for index, (first, _, _) in enumerate(records(file, line, limits, dialect)):
        if index == row:
            return first
    return line


def find_fault(file: BinaryIO, line: int, names: list[str], limits: Limits, dialect: Dialect) -> InvalidInput | None:
    """The first record that has another number of cells than the header, or an open quote."""
    for first, count, is_open in records(file, line, limits, dialect):
        if is_open:
            name = quote_name(names[min(count, len(names)) - 1])
            return InvalidInput.at(
                "/file", f"Line {first}, column {name}: the quote that opens here is never closed. Close or double it."
            )
        if count != len(names):
            return InvalidInput.at(
                "/file",
                f"Line {first}: {count} cells, but the header has {len(names)} columns. Give every row one cell a "
                "column, and put cells with separators into quotes.",
            )
    return None
