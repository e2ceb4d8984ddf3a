"""A file of text as Arrow's CSV parser reads it, with the bytes checked on their way."""

from __future__ import annotations

import codecs
import io
from typing import BinaryIO

import numpy as np

from app.datasets.limits import Limits
from app.datasets.readers.csv_text import NOT_UTF8, Dialect, count_separators
from app.errors import InvalidInput, TooLarge, quote_name

_KEPT = 1 << 16


class CheckedText(io.RawIOBase):
    """Passes a file's bytes from its place on, then `tail`. Raises InvalidInput on a NUL byte, on bytes that are not
    UTF-8 and on a line over the limit, naming the line (and the column, where the cell stands on that line).
    """

    def __init__(
        self, file: BinaryIO, line: int, names: list[str], tail: bytes, limits: Limits, dialect: Dialect
    ) -> None:
        super().__init__()
        self._file = file
        self._line = line
        self._names = names
        self._tail = tail
        self._limits = limits
        self._dialect = dialect
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._line_bytes = 0  # length so far of the line that goes on in the next block
        self._line_start = b""  # and its beginning

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        if not block:
            block, self._tail = self._tail, b""
            if block:
                self._check_encoding(b"", final=True)
            return block
        nul = block.find(b"\0")
        if nul >= 0:
            raise InvalidInput.at("/file", f"{self._place(block, nul)}: a NUL byte. Save the file as UTF-8 text.")
        self._check_encoding(block, final=False)
        self._check_lines(block)
        # numpy counts what comes often four times as fast as bytes do
        self._line += int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))
        return block

    def _place(self, block: bytes, offset: int) -> str:
        before = self._line_start + block[: max(offset, 0)]
        separators, _ = count_separators(before[before.rfind(b"\n") + 1 :], False, self._dialect)
        name = self._names[min(separators, len(self._names) - 1)]
        line = self._line + block.count(b"\n", 0, max(offset, 0))
        return f"Line {line}, column {quote_name(name)}"

    def _check_encoding(self, block: bytes, final: bool) -> None:
        held = self._decoder.getstate()[0]
        if not held and block.isascii():
            return
        try:
            self._decoder.decode(block, final)
        except UnicodeDecodeError as error:
            place = self._place(block, error.start - len(held))
            raise InvalidInput.at("/file", f"{place}: the text is not UTF-8. {NOT_UTF8}") from error

    def _check_lines(self, block: bytes) -> None:
        limit = self._limits.max_line_bytes
        start = -self._line_bytes  # where the current line began, seen from this block
        while len(block) - start > limit:
            end = block.rfind(b"\n", max(start, 0), max(start + limit + 1, 0))
            if end < 0:
                line = self._line + block.count(b"\n", 0, max(start, 0))
                raise TooLarge.at(
                    "/file", f"Line {line}: longer than {limit} bytes. Break the file into shorter lines."
                )
            start = end + 1
        last = block.rfind(b"\n")
        self._line_bytes = len(block) - last - 1 if last >= 0 else self._line_bytes + len(block)
        self._line_start = block[last + 1 :][:_KEPT] if last >= 0 else (self._line_start + block)[:_KEPT]
