"""A client that sends whatever frames it is told to, and reads the server's."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import NamedTuple

from hpack import Decoder

from app.http2 import http2_frames as frames
from app.http2.header_blocks import encode_literals

HEALTH = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
PREDICT = "/tensorflow.serving.PredictionService/Predict"


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


class Answer(NamedTuple):
    """What came on one stream until its end."""

    headers: dict[str, str]
    message: bytes
    reset: int | None

    @property
    def status(self) -> str:
        return self.headers.get("grpc-status", "")


def request_headers(path: str = HEALTH, token: str | None = None, **more: str) -> list[tuple[bytes, bytes]]:
    found = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers"}
    found["content-type"] = "application/grpc"
    if token is not None:
        found["authorization"] = f"Bearer {token}"
    found |= {name.replace("_", "-"): value for name, value in more.items()}
    return [(name.encode(), value.encode()) for name, value in found.items()]


def headers_frame(stream: int, headers: Sequence[tuple[bytes, bytes]], *, end: bool = False) -> bytes:
    flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
    return frames.frame(frames.HEADERS, flags, stream, encode_literals(headers))


def data_frame(stream: int, data: bytes, *, end: bool = True) -> bytes:
    return frames.frame(frames.DATA, frames.END_STREAM if end else 0, stream, data)


def framed(message: bytes, compressed: int = 0) -> bytes:
    return bytes((compressed,)) + len(message).to_bytes(4, "big") + message


class RawClient:
    """One connection.

    Args:
        settings: sent behind the preface; None: nothing is sent.
    """

    def __init__(self, port: int, settings: dict[int, int] | None = None, *, preface: bool = True) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self._bytes = bytearray()
        self._decoder = Decoder()
        self.ended = False
        if preface:
            self.send(frames.PREFACE + frames.settings_frame(settings or {}))

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *data: bytes) -> None:
        try:
            self.socket.sendall(b"".join(data))
        except (BrokenPipeError, ConnectionResetError):
            self.ended = True

    def frames(self) -> Iterator[Frame]:
        """The server's frames, until it closes."""
        while True:
            while len(self._bytes) >= 9:
                high, low, kind, flags, stream = frames.HEAD.unpack_from(self._bytes)
                end = 9 + (high << 16 | low)
                if len(self._bytes) < end:
                    break
                payload = bytes(self._bytes[9:end])
                del self._bytes[:end]
                if kind == frames.SETTINGS and not flags:
                    self.send(frames.frame(frames.SETTINGS, frames.ACK, 0))
                yield Frame(kind, flags, stream, payload)
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                self.ended = True
                return
            self._bytes += piece

    def next(self, kind: int, stream: int = 0) -> Frame:
        """The next frame of a kind and stream; others are passed over."""
        for frame in self.frames():
            if frame.kind == kind and frame.stream == stream:
                return frame
        raise AssertionError(f"the connection ended without a frame {kind} on {stream}")

    def answers(self, *streams: int) -> dict[int, Answer]:
        """The whole answers on some streams."""
        headers: dict[int, dict[str, str]] = {stream: {} for stream in streams}
        data = dict.fromkeys(streams, b"")
        done: dict[int, Answer] = {}
        for frame in self.frames():
            if frame.kind == frames.HEADERS:
                found = {str(name): str(value) for name, value in self._decoder.decode(frame.payload)}
                headers.setdefault(frame.stream, {}).update(found)
            elif frame.kind == frames.DATA:
                data[frame.stream] = data.get(frame.stream, b"") + frame.payload
            elif frame.kind == frames.GOAWAY and frame.payload[4:8] != bytes(4):
                raise AssertionError(f"GOAWAY {frame.payload!r}")
            ends = frame.kind in (frames.HEADERS, frames.DATA) and frame.flags & frames.END_STREAM
            reset = int.from_bytes(frame.payload, "big") if frame.kind == frames.RST_STREAM else None
            if frame.stream in headers and frame.stream not in done and (ends or reset is not None):
                done[frame.stream] = Answer(headers[frame.stream], data.get(frame.stream, b""), reset)
            if done.keys() >= set(streams):
                return done
        raise AssertionError(f"the connection ended; {set(streams) - done.keys()} had no answer")

    def call(self, stream: int, path: str = HEALTH, message: bytes = b"", **headers: str) -> Answer:
        self.send(headers_frame(stream, request_headers(path, **headers)), data_frame(stream, framed(message)))
        return self.answers(stream)[stream]

    def goodbye(self) -> int:
        """The code of the GOAWAY with which the server ends the connection."""
        code = -1
        for frame in self.frames():
            if frame.kind == frames.GOAWAY:
                code = int.from_bytes(frame.payload[4:8], "big")
        return code

    def is_served(self) -> None:
        """Raises AssertionError unless the connection still answers."""
        self.send(frames.frame(frames.PING, 0, 0, b"stillthe"))
        end = time.monotonic() + 240
        for frame in self.frames():
            assert time.monotonic() < end
            if frame.kind == frames.PING and frame.flags & frames.ACK and frame.payload == b"stillthe":
                return
        raise AssertionError("the connection ended")
