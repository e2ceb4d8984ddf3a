"""Parquet, batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as arrow_parquet

from app.datasets.chunk import Chunk, plain_array
from app.datasets.limits import RATIO_FROM_BYTES, Limits
from app.datasets.readers.rounded import RoundedNumbers
from app.datasets.upload_schema import Schema
from app.errors import InvalidInput, TooLarge, UnsupportedMedia, quote_name

_CHUNK_CELLS = 1 << 20
_CHUNK_ROWS = 1 << 15
_FLOATS = (pa.float64(), pa.large_list(pa.float64()))


class ParquetReader:
    """Reads one Parquet file.

    Attributes:
        names: columns, by the file's schema.
        warnings: what somebody should know of the columns; complete after the last chunk.

    Raises (all methods): InvalidInput, TooLarge or UnsupportedMedia, naming the row or the column where there is one.
    """

    def __init__(self, file: BinaryIO, limits: Limits, schema: Schema) -> None:
        if file.read(4) != b"PAR1":
            raise UnsupportedMedia("The file's name says parquet, but its content is not. Name it by its format.")
        self._bytes = file.seek(0, 2)
        file.seek(0)
        self._limits = limits
        self._schema = schema
        self.warnings: list[str] = []
        try:
            self._file = arrow_parquet.ParquetFile(pa.PythonFile(file, "r"), pre_buffer=False, buffer_size=1 << 20)
            self.names: list[str] = list(self._file.schema_arrow.names)
            rows = self._file.metadata.num_rows
        except MemoryError:  # Arrow's is an ArrowException as well
            raise
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._damaged(0) from error
        if len(self.names) > limits.max_columns:
            raise TooLarge.at("/file", f"{len(self.names)} columns; {limits.max_columns} are allowed. Use a list.")
        if rows > limits.max_rows:
            raise TooLarge.at("/file", f"{rows} rows; {limits.max_rows} are allowed.")
        for name, count in Counter(self.names).items():
            if not name or count > 1:
                raise InvalidInput.at(
                    "/file", f"The column name {quote_name(name)} is empty or comes twice. Give each an own name."
                )
        schema.check_names(self.names)

    def chunks(self) -> Iterator[Chunk]:
        """The rows, typed as the file says."""
        rows = size = 0
        rounded = RoundedNumbers(self._schema)
        batch_rows = max(1, min(_CHUNK_ROWS, _CHUNK_CELLS // max(1, len(self.names))))
        try:
            for batch in self._file.iter_batches(batch_rows, use_threads=False):
                columns = {name: self._array(batch.column(index), name) for index, name in enumerate(self.names)}
                # What a small file of repeated values unfolds to; its footer may say anything.
                size += sum(array.nbytes for array in columns.values())
                self._check_size(size)
                chunk = Chunk(columns, len(batch), lambda row, before=rows: f"Row {before + row + 1}")  # type: ignore[misc]
                for name, array in columns.items():
                    if array.type in _FLOATS:
                        rounded.add(name, array, chunk.where)
                yield chunk
                rows += len(batch)
            self.warnings += rounded.warnings("column", dict.fromkeys(self.names, ""))
        except MemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(rows) from error

    def _check_size(self, decoded: int) -> None:
        """Raises TooLarge."""
        if decoded > self._limits.max_bytes:
            raise TooLarge.at("/file", f"The decoded data has more than {self._limits.max_bytes} bytes.")
        ratio = self._limits.max_decoded_ratio
        if decoded > RATIO_FROM_BYTES and decoded > ratio * self._bytes:
            detail = f"The decoded data has more than {ratio:g} times the bytes of the file. Send it as CSV."
            raise TooLarge.at("/file", detail)

    def _array(self, array: pa.Array, name: str) -> pa.Array:
        times = pa.types.is_temporal(array.type) and not pa.types.is_duration(array.type)
        return array if times and self._schema[name].timestamp is not None else plain_array(array, name)

    def _damaged(self, row: int) -> InvalidInput:
        place = f"After row {row}" if row else "At its end, where the footer stands"
        return InvalidInput.at("/file", f"{place} the Parquet file is damaged or cut off. Write and send it again.")
