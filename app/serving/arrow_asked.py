"""A predict request in Arrow's stream format, as it came."""

from __future__ import annotations

from typing import Any

from app.errors import NotFound, quote_name
from app.serving.asked import Asked, AskedVersion
from app.serving.decode import Decoded, Decoder
from app.serving.export_description import inputs_of
from app.serving.large_body import INLINE_BYTES, LargeBodyReader
from app.serving.tensor_rows import plain


class ArrowAsked(Asked):
    """Read by the process of large bodies.

    Args:
        signature: that answers.
        ignore_unknown: columns that the model does not have are left out.
    """

    most_copied = INLINE_BYTES

    def __init__(self, reader: LargeBodyReader, body: bytes, signature: str, *, ignore_unknown: bool) -> None:
        self._reader = reader
        self._body = body
        self._signature = signature
        self._ignore_unknown = ignore_unknown

    async def decode_for(self, version: AskedVersion) -> Decoded:
        assert version.queue is not None
        decoder, wanted = version.queue.decoder, version.wanted
        if self._signature not in decoder.export.signatures:
            known = ", ".join(sorted(decoder.export.signatures))
            raise NotFound(f"The model has no signature {quote_name(self._signature)}; it has {known}.")
        return await self._reader.decode_arrow(
            wanted.path, wanted.digest, self._signature, self._body,
            max_rows=decoder.max_rows, ignore_unknown=self._ignore_unknown,
        )  # fmt: skip

    def instances(self, decoder: Decoder) -> list[Any]:
        """Columns that the model does not have are not even unpacked: nothing bounds what they unfold to."""
        import pyarrow as pa

        signature = decoder.export.signatures[self._signature]
        known = {feature.name for feature in inputs_of(decoder.export, signature)}
        with pa.ipc.open_stream(self._body) as reader:
            places = [place for place, name in enumerate(reader.schema.names) if name in known]
        options = pa.ipc.IpcReadOptions(included_fields=places)
        with pa.ipc.open_stream(self._body, options=options) as reader:
            rows = reader.read_all().to_pylist()
        if signature.input == "examples":
            return [_bytes(value) for row in rows for value in row.values()]
        return [{name: _plain(value) for name, value in row.items() if value is not None} for row in rows]


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return plain(value) if isinstance(value, bytes) else value
