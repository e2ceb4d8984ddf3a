"""Text files of other encodings, as UTF-8."""

from __future__ import annotations

import codecs
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from app.errors import InvalidInput

_BLOCK = 1 << 20


@contextlib.contextmanager
def as_utf8(file: BinaryIO, encoding: str, form: str, directory: Path) -> Iterator[BinaryIO]:
    """The file itself where it is UTF-8, else its text as UTF-8 in an unnamed file in `directory`, in constant memory.

    Raises:
        InvalidInput: bytes that the encoding does not have, with their line; or the format holds no text.
    """
    if encoding == "utf-8":
        yield file
        return
    if form not in ("csv", "jsonl"):
        raise InvalidInput.at("/schema/encoding", f"A {form} file has no encoding. Take it out of the schema.")
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    with tempfile.TemporaryFile(dir=directory) as spool:
        while True:
            block = file.read(_BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                if isinstance(error, UnicodeDecodeError):
                    line += error.object[: error.start].count(b"\n")
                raise InvalidInput.at(
                    "/file", f"Line {line}: the text is not {encoding}, as the schema says. Correct the encoding there."
                ) from error
            line += text.count("\n")
            spool.write(text.encode("utf-8", "surrogatepass"))
            if not block:
                break
        spool.seek(0)
        yield spool
