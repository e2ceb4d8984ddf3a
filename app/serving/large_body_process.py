"""The process that reads large bodies: `python -m app.serving.large_body_process PARENT FD`.

Here a body may take its time, and memory that one needed is given back after it. See `app.serving.large_body`.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys
from collections import OrderedDict

import msgspec

from app.errors import InvalidInput, ServiceError, TooLarge
from app.process import die_with_parent, give_memory_back
from app.serving.arrow_body import decode_arrow, encode_arrow
from app.serving.decode import LIMITS, Decoder
from app.serving.export_description import read_export
from app.serving.large_body import OUTPUTS, BodyReply, BodyRequest, receive, send
from app.strict_json import read_json

MEMORY_BYTES = 2**30
"""The largest bodies within the limits need half of it: 32 MB of rows, of numbers in one list, of strings."""
_NICENESS = 5
_KNOWN_EXPORTS = 16
_TRIM_BYTES = 4 * 2**20


def main(arguments: list[str]) -> None:
    parent, descriptor = (int(argument) for argument in arguments)
    die_with_parent(parent=parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the API closes our socket when done
    os.nice(_NICENESS)
    gc.disable()  # what is decoded has no circles, and looking for them took most of the time
    used = int(_status("VmSize")) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    reader = BodyReader()
    connection = socket.socket(fileno=descriptor)
    while True:
        try:
            header, body = receive(connection)
        except (EOFError, OSError):
            return  # the API is gone
        size = len(body)
        reply, columns = reader.read(msgspec.msgpack.decode(header, type=BodyRequest), bytes(body))
        del body
        send(connection, reply, columns)
        del columns
        if size > _TRIM_BYTES:
            give_memory_back()


class BodyReader:
    """Keeps the decoders of the exports that were asked for last."""

    def __init__(self) -> None:
        self._decoders: OrderedDict[tuple[str, str, int], Decoder] = OrderedDict()

    def read(self, request: BodyRequest, body: bytes) -> tuple[BodyReply, bytes]:
        try:
            if request.arrow == OUTPUTS:
                return BodyReply(), encode_arrow(body)
            if not request.verb:
                read_json(body)
                return BodyReply(), b""
            decoder = self._decoder(request)
            if request.arrow:
                decoded = decode_arrow(decoder, request.arrow, body, ignore_unknown=request.ignore_unknown)
            else:
                LIMITS.check(body)
                decoded = decoder.decode(request.verb, body)
            columns = decoded.columns
            if columns is None:
                columns = decoder.packers[decoded.signature].pack(decoded.rows)
        except ServiceError as error:
            places = error.errors[:100] if isinstance(error, InvalidInput) else []
            errors = [(place.pointer, place.detail) for place in places]
            return BodyReply(type(error).__name__, error.detail, errors), b""
        except MemoryError:
            return BodyReply(TooLarge.__name__, "Reading the body needs too much memory. Send it in parts."), b""
        packed = msgspec.msgpack.encode(columns)
        reply = BodyReply(
            signature=decoded.signature,
            form=int(decoded.form),
            count=decoded.count,
            longest=decoded.longest,
            warnings=decoded.warnings,
        )
        return reply, packed

    def _decoder(self, request: BodyRequest) -> Decoder:
        key = (request.path, request.digest, request.max_rows)
        decoder = self._decoders.get(key)
        if decoder is None:
            decoder = self._decoders[key] = Decoder(read_export(request.path), max_rows=request.max_rows)
            if len(self._decoders) > _KNOWN_EXPORTS:
                self._decoders.popitem(last=False)
        self._decoders.move_to_end(key)
        return decoder


def _status(name: str) -> str:
    with open("/proc/self/status") as file:  # noqa: PTH123  pathlib is not needed for one line
        return next((line.split()[1] for line in file if line.startswith(name + ":")), "0")


if __name__ == "__main__":
    main(sys.argv[1:])
