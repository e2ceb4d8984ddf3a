"""`assets.extra/tf_serving_warmup_requests`: requests that are run before a version counts as loaded. As in TensorFlow
Serving, one that is wrong makes the load fail. Imported by the predictor process only."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from google_crc32c import value as crc32c

from app.errors import ServiceError
from app.serving.batch_columns import batch_columns
from app.serving.decode import Decoder
from app.serving.export_description import BadExport, ExportDescription
from app.serving.protocol import MAX_FRAME_BYTES

WARM_UP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MOST_RECORDS = 1000
"""TensorFlow Serving's own limit."""
_HEADER = struct.Struct("<QI")  # length of the record, CRC of the length
_CRC = struct.Struct("<I")
_MOST_ROWS = 2**16
"""Of one record: what a request may have, unless the service is set otherwise."""


def run_warm_up_file(directory: Path, export: ExportDescription, run: Callable[..., Any]) -> int:
    """Runs the requests of an export's file, one after the other. Returns how many records it has; 0 without a file.

    Args:
        run: `Loaded.run`.

    Raises:
        BadExport: the file is no TFRecord file or has too many records, or one of them is wrong or cannot be computed.
    """
    path = directory / WARM_UP_FILE
    if not path.exists():
        return 0
    from app.protocols.warm_up_records import decode_record  # older versions have no such file

    decoder = Decoder(export, max_rows=_MOST_ROWS)
    number = 0
    for number, record in enumerate(_records(path), 1):
        try:
            requests = decode_record(decoder, record, MAX_FRAME_BYTES)
        except ServiceError as error:
            raise BadExport(f"Warm-up record {number} ({WARM_UP_FILE}): {error.detail}") from error
        for request in requests:
            columns = batch_columns(decoder.packers[request.signature], [request])
            bodies, _ = run(request.signature, columns, [request.count], [request.form])
            if isinstance(bodies[0], int):
                raise BadExport(
                    f"Warm-up record {number} ({WARM_UP_FILE}): the signature {request.signature!r} cannot compute it."
                )
    return number


def _records(path: Path) -> Iterator[bytes]:
    """Raises BadExport. An iterator of `tf.data` takes 13 ms to start, this 0.1."""
    number, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while header := file.read(_HEADER.size):
            number += 1
            if number > MOST_RECORDS:
                raise BadExport(f"{WARM_UP_FILE} has more than {MOST_RECORDS} records.")
            length, length_crc = _HEADER.unpack(header.ljust(_HEADER.size))
            data = file.read(min(length, size))
            crc = file.read(_CRC.size)
            whole = len(data) == length and len(crc) == _CRC.size
            if not whole or _masked(header[:8]) != length_crc or _masked(data) != _CRC.unpack(crc)[0]:
                raise BadExport(f"{WARM_UP_FILE} is no whole TFRecord file: record {number} is cut or damaged.")
            yield data


def _masked(data: bytes) -> int:
    """The CRC-32C of bytes as TFRecord stores it."""
    crc: int = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
