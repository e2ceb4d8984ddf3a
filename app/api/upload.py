"""A multipart form with one large file, written to disk as it comes. The fields may stand before or after the file."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import FieldError, InvalidInput, TooLarge, UnsupportedMedia, quote_name

_BATCH_BYTES = 2**20
_MOST_FIELD_BYTES = 2**20
_MOST_PARTS = 20


@dataclass
class UploadForm:
    """What was sent.

    Attributes:
        fields: the plain fields by name.
        filename: the client's name for the file; only its ending is ever used.
        digest: SHA-256 of the file's bytes.
    """

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    digest: str = ""


async def receive_form(
    chunks: AsyncIterator[bytes], content_type: str, file: Path, allowed: frozenset[str]
) -> UploadForm:
    """Writes the part `file` to the path `file`.

    Args:
        allowed: names of the plain fields that are known.

    Raises:
        UnsupportedMedia: no multipart form.
        InvalidInput: a broken form, an unknown or doubled part, or none called `file`.
        TooLarge: a plain field is.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise UnsupportedMedia("Send a multipart form (`multipart/form-data`) with the parts `file` and `name`.")
    try:
        reader = _Reader(options[b"boundary"], file, allowed)
    except FormParserError:
        raise InvalidInput("The boundary of the multipart form is too long.") from None
    try:
        batch: list[bytes] = []
        size = 0
        async for chunk in chunks:
            batch.append(chunk)
            size += len(chunk)
            if size >= _BATCH_BYTES:
                await asyncio.to_thread(reader.write, b"".join(batch))
                batch, size = [], 0
        await asyncio.to_thread(reader.write, b"".join(batch))
        return reader.finish()
    except FormParserError:
        raise InvalidInput("The multipart form is broken: its boundaries do not fit its Content-Type.") from None
    finally:
        reader.close()


class _Reader:
    """The parser's callbacks. Used by one thread at a time."""

    def __init__(self, boundary: bytes, file: Path, allowed: frozenset[str]) -> None:
        self._form = UploadForm()
        self._path = file
        self._allowed = allowed
        self._hash = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._parts = 0
        self._ended = False
        self._name = ""
        self._value = bytearray()
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value_data,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def write(self, data: bytes) -> None:
        if data:
            self._parser.write(data)

    def finish(self) -> UploadForm:
        self._parser.finalize()
        if not self._ended:
            raise InvalidInput("The multipart form ends too early.")
        if self._form.filename is None and "upload" not in self._form.fields:
            raise InvalidInput.at("/file", "The form has no part 'file' with a file name.")
        self._form.digest = self._hash.hexdigest()
        return self._form

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise InvalidInput(f"The form has more than {_MOST_PARTS} parts.")
        self._disposition = self._header_name = self._header_value = b""
        self._value.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _header_value_data(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == "file":
            if self._form.filename is not None:
                raise InvalidInput.at("/file", "The form has more than one file.")
            self._form.filename = options.get(b"filename", b"").decode("utf-8", "replace")
            self._file = self._path.open("xb")
        elif self._name not in self._allowed or self._name in self._form.fields:
            why = "is there twice" if self._name in self._form.fields else "is not known"
            known = ", ".join(sorted(self._allowed | {"file"}))
            detail = f"The part {quote_name(self._name)} {why}. The parts are {known}."
            raise InvalidInput(detail, [FieldError("", detail)])

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            piece = memoryview(data)[start:end]
            self._hash.update(piece)
            self._file.write(piece)
            return
        self._value += data[start:end]
        if len(self._value) > _MOST_FIELD_BYTES:
            raise TooLarge(f"The part '{self._name}' is larger than {_MOST_FIELD_BYTES} bytes.")

    def _part_end(self) -> None:
        if self._file is not None:
            self.close()
            return
        try:
            self._form.fields[self._name] = self._value.decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidInput.at(f"/{self._name}", "The part is not UTF-8 text.") from None

    def _end(self) -> None:
        self._ended = True
