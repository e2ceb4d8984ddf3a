"""From an uploaded stream to a seekable, uncompressed file of a known format."""

from __future__ import annotations

import contextlib
import re
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from app.datasets.limits import RATIO_FROM_BYTES, Limits
from app.errors import InvalidInput, TooLarge, UnsupportedMedia

_FORMATS = {
    "csv": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "tfrecord": "tfrecord",
    "tfrecords": "tfrecord",
}
_COMPRESSIONS = {"gz": "gzip", "zst": "zstd"}
#: how well-known other formats begin
_MAGIC = {
    b"\x93NUMPY": "a NumPy array",
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x89HDF": "HDF5",
    b"PAR1": "parquet",
    b"ARROW1": "an Arrow file",
    b"Obj\x01": "Avro",
    b"ORC": "ORC",
    b"SQLite format 3": "SQLite",
    b"\x80\x02": "a Python pickle",
    b"\x80\x03": "a Python pickle",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"7z\xbc\xaf": "7-Zip",
}
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f-\xff]")
# A zstd block of 4 bytes can inflate to 128 KiB, so a piece of 1 KiB gives 32 MiB at most.
_PIECE = {"gzip": 1 << 16, "zstd": 1 << 10}
_OUTPUT = 1 << 20
_TAKEN = "Take csv, jsonl, parquet or tfrecord, optionally followed by .gz or .zst"


def file_format(filename: str) -> tuple[str, str | None]:
    """Format ("csv" "jsonl" "parquet" "tfrecord") and compression ("gzip" "zstd" None) by a file's name.

    Raises UnsupportedMedia for any other ending.
    """
    endings = filename.lower().rsplit("/", 1)[-1].split(".")[1:]
    compression = _COMPRESSIONS.get(endings[-1]) if endings else None
    if compression:
        endings.pop()
    form = _FORMATS.get(endings[-1]) if endings else None
    if form is None:
        raise UnsupportedMedia(f"The file's name does not end in a format that is read. {_TAKEN}.")
    return form, compression


@contextlib.contextmanager
def open_source(
    stream: BinaryIO, form: str, compression: str | None, directory: Path, limits: Limits
) -> Iterator[tuple[BinaryIO, int]]:
    """Gives the content as a seekable file at its start, and its size in bytes.

    A seekable stream that is not compressed is used as it is; else the content goes to an unnamed file in
    `directory`, in constant memory.

    Raises:
        TooLarge: over `max_bytes` or `max_inflated_ratio`.
        InvalidInput: empty, or the compressed stream is damaged.
        UnsupportedMedia: the content is plainly of another format than the name says.
    """
    with tempfile.TemporaryFile(dir=directory) as spool:
        source: BinaryIO = stream
        if compression or not stream.seekable():
            for block in _inflated(stream, compression, limits):
                spool.write(block)
            source = spool
        size = source.seek(0, 2)
        _check_size(size, limits)
        if not size:
            raise InvalidInput.at("/file", "The file is empty. Send one with at least one row of data.")
        source.seek(0)
        _check_magic(source.read(16), form)
        source.seek(0)
        yield source, size


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise TooLarge.at(
            "/file", f"The file has more than {limits.max_bytes} bytes, uncompressed. Split it into several data sets."
        )


def _check_magic(head: bytes, form: str) -> None:
    for magic, name in _MAGIC.items():
        if head.startswith(magic) and name != form:
            # Letters alone may begin a text as well.
            if form in ("csv", "jsonl") and not _NO_TEXT.search(head):
                continue
            if form == "tfrecord" and len(magic) <= 2:
                continue  # a record may have any length, and that stands first
            raise UnsupportedMedia(f"The file's name says {form}, but its content is {name}. {_TAKEN}.")


def _inflated(stream: BinaryIO, compression: str | None, limits: Limits) -> Iterator[bytes]:
    """Yields the content in blocks of a few MiB at most; raises as `open_source` says."""
    read = written = 0
    pieces = _pieces(stream, _PIECE.get(compression or "", 1 << 20))
    blocks: Iterator[tuple[int, bytes]]
    if compression is None:
        blocks = ((len(piece), piece) for piece in pieces)
    else:
        blocks = _gunzip(pieces) if compression == "gzip" else _unzstd(pieces)
    for consumed, block in blocks:
        read = max(read, consumed)
        written += len(block)
        _check_size(written, limits)
        if compression and written > RATIO_FROM_BYTES and written > limits.max_inflated_ratio * read:
            raise TooLarge.at(
                "/file",
                f"The file inflates to more than {limits.max_inflated_ratio:g} times its compressed size. "
                "Send it uncompressed.",
            )
        yield block


def _pieces(stream: BinaryIO, size: int) -> Iterator[bytes]:
    while piece := stream.read(size):
        yield piece


def _damaged(compression: str, offset: int, what: str = "is damaged") -> InvalidInput:
    return InvalidInput.at("/file", f"Byte {offset}: the {compression} stream {what}. Compress and send it again.")


def _gunzip(pieces: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yields (compressed bytes taken so far, inflated block); several members may follow each other."""
    consumed = 0
    member = zlib.decompressobj(31)
    inside = False
    for piece in pieces:
        data = piece
        while data:
            if not inside and not data.strip(b"\0"):
                break  # padding after the last member, as tape archivers write it
            inside = True
            try:
                block = member.decompress(data, _OUTPUT)
            except zlib.error as error:
                raise _damaged("gzip", consumed) from error
            yield consumed + len(piece), block
            data = member.unused_data if member.eof else member.unconsumed_tail
            while not data and not member.eof and len(block) == _OUTPUT:
                block = member.decompress(b"", _OUTPUT)  # what zlib still holds back
                yield consumed + len(piece), block
            if member.eof:
                member, inside = zlib.decompressobj(31), False
        consumed += len(piece)
    if inside or not consumed:
        raise _damaged("gzip", consumed, "ends too early")


def _unzstd(pieces: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """The same for zstd frames."""
    consumed = 0
    inflater = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    frame = inflater.decompressobj()
    inside = False
    for piece in pieces:
        data = piece
        while data:
            inside = True
            try:
                block = frame.decompress(data)
            except zstandard.ZstdError as error:
                raise _damaged("zstd", consumed) from error
            yield consumed + len(piece), block
            data = frame.unused_data if frame.eof else b""
            if frame.eof:
                frame, inside = inflater.decompressobj(), False
        consumed += len(piece)
    if inside or not consumed:
        raise _damaged("zstd", consumed, "ends too early")
