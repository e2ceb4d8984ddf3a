"""The schema applied to the chunks of any format, types apart: times become numbers, text becomes numbers."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.chunk import Chunk, Where
from app.datasets.readers.integer_cells import integers
from app.datasets.readers.spelling import plain_numbers, without_nulls
from app.datasets.timestamps import is_text
from app.datasets.upload_schema import ColumnSchema, Schema
from app.errors import InvalidInput, quote_name


class SchemaApplied:
    """Chunks as the writer takes them.

    Args:
        names: columns of the file, so far as they are known.
        schema: of the client.
        spelled: whether the reader has read numbers and missing values by their spelling already.

    Attributes:
        names: columns of the data set.
    """

    def __init__(self, names: Iterable[str], schema: Schema, spelled: bool) -> None:
        self._schema = schema
        self._spelled = spelled
        self.names: list[str] = []
        taken = set(names)
        for name in names:
            made = self._names(name)
            for other in made:
                if other != name and other in taken:
                    raise InvalidInput.at(
                        "/schema/columns",
                        f"Column {quote_name(name)} would become {quote_name(other)}, which the file has too. "
                        "Rename one of them.",
                    )
            self.names += made

    def _names(self, name: str) -> list[str]:
        timestamp = self._schema[name].timestamp
        return [name] if timestamp is None else timestamp.names(name)

    def chunk(self, chunk: Chunk) -> Chunk:
        """The chunk with the schema applied."""
        columns: dict[str, pa.Array] = {}
        for name, array in chunk.columns.items():
            schema = self._schema[name]
            if schema.timestamp is not None:
                cells = array
                if not self._spelled and is_text(array.type):
                    cells = without_nulls(pc.cast(array, pa.large_string()), schema.spelling)
                columns |= schema.timestamp.columns(cells, name, chunk.where)
            else:
                columns[name] = array if self._spelled else _spelled(array, name, schema, chunk.where)
        return Chunk(columns, chunk.rows, chunk.where)


def _spelled(array: pa.Array, name: str, schema: ColumnSchema, where: Where) -> pa.Array:
    """A column of text read by the spelling that the schema gives it."""
    if not is_text(array.type) or not (schema.numeric or schema.spelling.null_values):
        return array
    try:
        cells = without_nulls(pc.cast(array, pa.large_string()), schema.spelling)
    except pa.ArrowInvalid:  # bytes that are no text
        return array
    if not schema.numeric:
        return pc.cast(cells, pa.large_binary())
    numbers = plain_numbers(cells, schema.spelling)
    numbers = pc.if_else(pc.equal(numbers, ""), None, numbers)
    try:
        return integers(numbers) if schema.dtype == "int64" else pc.cast(numbers, pa.float64())
    except pa.ArrowInvalid:
        number = r"\d+" if schema.dtype == "int64" else r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
        readable = pc.match_substring_regex(numbers, f"^[+-]?{number}$")
        bad = pc.indices_nonzero(pc.invert(pc.fill_null(readable, True)))
        row = bad[0].as_py() if len(bad) else 0
        raise InvalidInput.at(
            "/file",
            f"{where(row)}, column {quote_name(name)}: the cell is no number, as the schema spells them. Correct it, "
            "leave it empty, or change the schema.",
        ) from None
