"""Large request bodies: a process of its own decodes them, so that none holds the event loop or unfolds in its memory.

The process (`app.serving.large_body_process`) checks a JSON document, or decodes a predict request and packs its rows
into the columns that go to the predictor. It starts with the first large body and reads one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from app.errors import Conflict, FieldError, InvalidInput, NotFound, ServiceError, Timeout, TooLarge, Unavailable
from app.serving.decode import Decoded
from app.serving.notes import Warned
from app.serving.protocol import Form

INLINE_BYTES = 128 * 1024
"""A predict body up to this size is decoded on the event loop when the typed decoder takes it: 1 or 2 ms."""
INLINE_UNTYPED_BYTES = 16 * 1024
"""Any other body up to this size is read on the event loop."""
TIMEOUT_S = 60.0
_ROOT = Path(__file__).parents[2]
_HEADER = struct.Struct("<II")
OUTPUTS = "*"
"""Of a request to the process: no signature's name."""
_KINDS: dict[str, type[ServiceError]] = {
    kind.__name__: kind for kind in (InvalidInput, TooLarge, NotFound, Conflict, Timeout, Unavailable)
}
_DIED = "Reading the body needs more memory than its reader may use. Send it in parts."


class BodyRequest(msgspec.Struct, frozen=True):
    """What to do with the body that follows.

    Attributes:
        verb: predict, classify or regress; empty: the body is a JSON document, which is only checked.
        path, digest: the export's directory.
        max_rows: maximum number of instances.
        arrow: the body is an Arrow stream for this signature; or, with `OUTPUTS`, outputs to make one of.
        ignore_unknown: leave columns out that the model does not have.
    """

    verb: str = ""
    path: str = ""
    digest: str = ""
    max_rows: int = 0
    arrow: str = ""
    ignore_unknown: bool = False


class BodyReply(msgspec.Struct, frozen=True):
    """`error` names the class of a ServiceError, empty when there is none. The packed columns follow."""

    error: str = ""
    detail: str = ""
    errors: list[tuple[str, str]] = []
    signature: str = ""
    form: int = 0
    count: int = 0
    longest: int = 0
    warnings: list[Warned] | None = None


def send(connection: socket.socket, header: msgspec.Struct, body: bytes) -> None:
    head = msgspec.msgpack.encode(header)
    connection.sendall(_HEADER.pack(len(head), len(body)) + head)
    connection.sendall(body)


def receive(connection: socket.socket) -> tuple[bytes, bytearray]:
    """Header and body. Raises EOFError."""
    head_size, size = _HEADER.unpack(_exactly(connection, _HEADER.size))
    return bytes(_exactly(connection, head_size)), _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = connection.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return data


class LargeBodyReader:
    """Asks the process; a body that ends it, or takes longer than `timeout_s`, is refused and the next one is read by
    a new one."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, "large-body")  # one body at a time
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    @property
    def pid(self) -> int:
        """Of the process; 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    async def check_document(self, body: bytes) -> None:
        """Raises what `app.strict_json.read_json` raises."""
        await self._ask(BodyRequest(), body)

    async def decode(self, path: str, digest: str, verb: str, body: bytes, *, max_rows: int) -> Decoded:
        """A predict request, its rows packed. Raises what `Decoder.decode` raises."""
        reply, columns = await self._ask(BodyRequest(verb, path, digest, max_rows), body)
        packed = msgspec.Raw(columns)
        return Decoded(reply.signature, Form(reply.form), [], reply.longest, reply.count, packed, reply.warnings)

    async def decode_arrow(
        self, path: str, digest: str, signature: str, body: bytes, *, max_rows: int, ignore_unknown: bool
    ) -> Decoded:
        """A predict request in Arrow's stream format. Raises what `app.serving.arrow_body.decode_arrow` raises."""
        request = BodyRequest("predict", path, digest, max_rows, signature, ignore_unknown)
        reply, columns = await self._ask(request, body)
        packed = msgspec.Raw(columns)
        return Decoded(signature, Form.TENSORS, [], reply.longest, reply.count, packed)

    async def encode_arrow(self, outputs: bytes) -> bytes:
        """A version's outputs in Arrow's stream format."""
        return bytes((await self._ask(BodyRequest(arrow=OUTPUTS), outputs))[1])

    async def stop(self) -> None:
        self._end()
        await asyncio.to_thread(self._thread.shutdown)

    async def _ask(self, request: BodyRequest, body: bytes) -> tuple[BodyReply, bytearray]:
        loop = asyncio.get_running_loop()
        reply, columns = await loop.run_in_executor(self._thread, self._ask_process, request, body)
        if reply.error:
            kind = _KINDS.get(reply.error, InvalidInput)
            error = kind(reply.detail)
            if isinstance(error, InvalidInput):
                error.errors = [FieldError(*place) for place in reply.errors]
            raise error
        return reply, columns

    def _ask_process(self, request: BodyRequest, body: bytes) -> tuple[BodyReply, bytearray]:
        for attempt in range(2):  # the process may have ended with the body before
            try:
                connection = self._connected()
                connection.settimeout(self._timeout_s)
                send(connection, request, body)
                head, columns = receive(connection)
                return msgspec.msgpack.decode(head, type=BodyReply), columns
            except TimeoutError:
                self._end()
                raise Timeout(f"Reading the body takes longer than {self._timeout_s:g} s. Send it in parts.") from None
            except (OSError, EOFError):
                self._end()
                if attempt:
                    raise TooLarge(_DIED) from None
        raise AssertionError

    def _connected(self) -> socket.socket:
        if self._connection is not None and self._process is not None and self._process.poll() is None:
            return self._connection
        self._end()
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.serving.large_body_process", str(os.getpid()), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
            )
        self._connection = ours
        return ours

    def _end(self) -> None:
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if process is not None:
            process.kill()
            process.wait()
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()
