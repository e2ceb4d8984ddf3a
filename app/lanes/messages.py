"""Messages between the serving parent and its lanes: packets of MessagePack, with descriptors beside them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

import msgspec

_PACKET_BYTES = 4096
_MOST_DESCRIPTORS = 64


class WantsPredictor(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """A lane's wish; one descriptor, the predictor's end of a stream.

    Attributes:
        trial: only to try versions in it.
    """

    id: int
    trial: bool = False


class PredictorGiven(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """Process number of the predictor that has the stream now; 0: there is none."""

    id: int
    pid: int


class LaneState(msgspec.Struct, array_like=True, tag=3, frozen=True):
    """A lane's event loop runs.

    Attributes:
        serves: it accepts connections.
    """

    serves: bool


class WantsMetrics(msgspec.Struct, array_like=True, tag=4, frozen=True):
    """A lane asks for the metrics of the other lanes."""

    id: int


class TellMetrics(msgspec.Struct, array_like=True, tag=5, frozen=True):
    """The parent asks a lane for its metrics."""

    id: int


class Metrics(msgspec.Struct, array_like=True, tag=6, frozen=True):
    """A lane's metrics; one descriptor, a file in memory with Prometheus' text."""

    id: int


class MetricsGiven(msgspec.Struct, array_like=True, tag=7, frozen=True):
    """The other lanes' metrics, as far as they answered in time: a file in memory for each of `lanes`."""

    id: int
    lanes: list[int]


class Drain(msgspec.Struct, array_like=True, tag=8, frozen=True):
    """A lane is to accept no more, to answer what it has, and to end."""


class StandIn(msgspec.Struct, array_like=True, tag=9, frozen=True):
    """A lane is to accept from the listeners of another one that does not: its descriptors."""

    lane: int


class StandBack(msgspec.Struct, array_like=True, tag=10, frozen=True):
    """The other lane accepts again."""

    lane: int


class MeetLane(msgspec.Struct, array_like=True, tag=11, frozen=True):
    """A lane's end of a connection to another one: its descriptor."""


Message = (
    WantsPredictor
    | PredictorGiven
    | LaneState
    | WantsMetrics
    | TellMetrics
    | Metrics
    | MetricsGiven
    | Drain
    | StandIn
    | StandBack
    | MeetLane
)
_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], Message] = msgspec.msgpack.Decoder(Message).decode


class PacketSocket:
    """One end of a packet socket on an event loop.

    Args:
        on_packet: called with each packet's bytes and its descriptors, which are the callee's to close.
        on_end: called once, when the other end is closed or does not read.
    """

    def __init__(
        self,
        connection: socket.socket,
        on_packet: Callable[[bytes, list[int]], None],
        on_end: Callable[[], None],
    ) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._on_packet = on_packet
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection.fileno(), self._read)

    @property
    def closed(self) -> bool:
        return self._socket.fileno() < 0

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        if self.closed:
            return
        try:
            socket.send_fds(self._socket, [data], descriptors)
        except OSError:  # gone, or so many packets wait that it hangs
            self._end()

    def close(self) -> None:
        if not self.closed:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _read(self) -> None:
        try:
            data, descriptors, *_ = socket.recv_fds(self._socket, _PACKET_BYTES, _MOST_DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if data:
            self._on_packet(data, descriptors)
        else:
            self._end()

    def _end(self) -> None:
        if not self.closed:
            self.close()
            self._on_end()


class Channel:
    """`Message`s over a packet socket; bytes of another form end it.

    Args:
        on_message: called with each message and its descriptors, which are the callee's to close.
    """

    def __init__(
        self, connection: socket.socket, on_message: Callable[[Message, list[int]], None], on_end: Callable[[], None]
    ) -> None:
        self._on_message = on_message
        self._packets = PacketSocket(connection, self._take, on_end)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        self._packets.send(_encode(message), descriptors)

    def close(self) -> None:
        self._packets.close()

    def _take(self, data: bytes, descriptors: list[int]) -> None:
        self._on_message(_decode(data), descriptors)


def file_in_memory(content: bytes) -> int:
    """A descriptor of a file that has that content; the caller closes it."""
    descriptor = os.memfd_create("metrics")
    written = 0
    while written < len(content):
        written += os.write(descriptor, content[written:])
    return descriptor


def read_file(descriptor: int) -> bytes:
    """All of a file in memory, which is closed then."""
    with open(descriptor, "rb") as file:
        file.seek(0)
        return file.read()


def close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
