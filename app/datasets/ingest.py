"""From an uploaded file to a stored data set."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from app.datasets.apply_schema import SchemaApplied
from app.datasets.chunk import Chunk
from app.datasets.limits import Limits
from app.datasets.readers.csv import CsvReader
from app.datasets.readers.decompress import file_format, open_source
from app.datasets.readers.doubt import Doubt
from app.datasets.readers.jsonl import JsonlReader
from app.datasets.readers.parquet import ParquetReader
from app.datasets.readers.tfrecord import TFRecordReader
from app.datasets.readers.transcode import as_utf8
from app.datasets.upload_schema import Schema, parse_schema
from app.datasets.warnings import column_warnings
from app.datasets.writers.table_writer import TableWriter
from app.errors import ServiceError


@dataclass(frozen=True)
class IngestedDataset:
    """What was stored.

    Attributes:
        digest: of names, types and values in their order; the same for the same content, also compressed.
        format: "csv", "jsonl", "parquet" or "tfrecord".
        rows: at least 1.
        bytes: size of the file, uncompressed.
        columns: type and statistics of each column; `app.datasets.table.Table.info` says which.
        warnings: what its owner should know, a sentence each.
    """

    digest: str
    format: str
    rows: int
    bytes: int
    columns: list[dict[str, Any]]
    warnings: list[str] = field(default_factory=list)


class FormatReader(Protocol):
    """One file of one format; `warnings` is complete after the last chunk."""

    names: list[str]
    warnings: list[str]

    def chunks(self) -> Iterator[Chunk]: ...


def _readers(form: str, file: BinaryIO, limits: Limits, schema: Schema) -> Iterator[FormatReader]:
    """Readers of the same file, to be taken one after the other until one reads it without an error."""
    if form == "csv":
        careful = CsvReader(file, limits, schema)
        yield careful.quick()
        yield careful
    elif form == "tfrecord":
        yield TFRecordReader(file, limits, schema, quick=True)
        yield TFRecordReader(file, limits, schema)
    elif form == "jsonl":
        yield JsonlReader(file, limits, schema)
    else:
        yield ParquetReader(file, limits, schema)


def _ahead(chunks: Iterator[Chunk]) -> Generator[Chunk]:
    """The chunks, each read by a thread while the one before it is written."""
    with ThreadPoolExecutor(1, "reader") as thread:
        coming = thread.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = thread.submit(next, chunks, None)
            yield chunk


def _store(
    reader: FormatReader, form: str, directory: Path, limits: Limits, schema: Schema
) -> tuple[dict[str, Any], list[str]]:
    """What stands in meta.json then, and the warnings of the reader."""
    applied = SchemaApplied(reader.names, schema, spelled=form == "csv")
    writer = TableWriter(directory, limits, schema, applied.names)
    with contextlib.closing(_ahead(reader.chunks())) as chunks:
        for chunk in chunks:
            writer.write(applied.chunk(chunk))
    return writer.close(), reader.warnings


def ingest(
    stream: BinaryIO, filename: str, directory: Path, limits: Limits, schema: dict[str, Any] | None = None
) -> IngestedDataset:
    """Reads a file to its end and stores it in the columnar format, in bounded memory.

    Args:
        stream: the file's bytes, from its start; used as it is when it is seekable, else copied to disk first.
        filename: its ending names the format (and the compression); nothing else of it is used.
        directory: exists and is empty; on an error the caller deletes it.
        limits: bounds on what is read.
        schema: see `app.datasets.upload_schema`; overrides what the data would say.

    Raises:
        InvalidInput: the content is wrong; says the line, row or byte offset, the column and the remedy.
        TooLarge: over one of the limits.
        UnsupportedMedia: a format that is not read, or the content is of another one than the name says.
    """
    form, compression = file_format(filename)
    parsed = parse_schema(schema, limits.max_sequence)
    with (
        open_source(stream, form, compression, directory, limits) as (source, size),
        as_utf8(source, parsed.encoding, form, directory) as file,
    ):
        failed: Exception | None = None
        # The quick way meets another fault first than the careful one does, which words all of them.
        for reader in _readers(form, file, limits, parsed):
            try:
                meta, warnings = _store(reader, form, directory, limits, parsed)
                break
            except (Doubt, ServiceError) as error:
                failed = error
                for path in directory.iterdir():
                    path.unlink()
        else:
            assert failed is not None
            raise failed
    infos = [column["info"] for column in meta["columns"]]
    warnings = [*warnings, *column_warnings(infos, meta["rows"])]
    return IngestedDataset(meta["digest"], form, meta["rows"], size, infos, warnings)
