"""Frames at random, in pieces at random: whatever a client sends, nothing is raised and nothing is kept."""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from typing import Any

import pytest

from app.http.connections import ConnectionLimits, ConnectionTable
from app.http2 import http2_frames as frames
from app.http2.header_blocks import encode_literals
from app.http2.http2_frames import ErrorCode
from app.protocols.grpc_connection import GrpcConnection
from app.protocols.health_service import HealthService
from app.protocols.port_state import PortState
from app.protocols.rpc_methods import NOBODY, Answer, Method, Status
from tests.protocols.raw_http2 import HEALTH, PREDICT, WATCH, data_frame, framed, headers_frame, request_headers

_GOOD = hashlib.sha256(b"good").digest()
_METHOD = Method(None, "predict", None)  # type: ignore[arg-type]


class EchoMethods:
    """Answers with the message, a few turns of the loop later. The secret `slow` is looked up first."""

    def find(self, path: str) -> Method | None:
        return {HEALTH: _METHOD._replace(scope=None), PREDICT: _METHOD}.get(path)

    def remembered(self, method: Method, digest: bytes) -> Any:
        return NOBODY if method.scope is None or digest == _GOOD else None

    async def admit(self, method: Method, authorization: str) -> Any:
        await asyncio.sleep(0)
        if authorization.endswith("bad"):
            raise RuntimeError("nobody")
        return NOBODY

    def account(self, token: Any) -> Any:
        return self

    bytes = 0

    def check_bytes(self, account: Any, size: int) -> None: ...

    async def answer(self, path: str, token: Any, message: bytes, *more: Any) -> Answer:
        await asyncio.sleep(0)
        return Answer(Status.OK, message)

    def refused(self, path: str, error: Exception, started: float) -> Answer:
        return Answer(Status.INVALID_ARGUMENT, detail=str(error))


class Wire(asyncio.Transport):
    """Takes what is written, and is full now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def close(self) -> None:
        self.closed = True

    abort = close


def connected(loop: asyncio.AbstractEventLoop) -> tuple[GrpcConnection, PortState, Wire]:
    methods: Any = EchoMethods()
    health = HealthService(("s",), lambda: True)
    port = PortState(ConnectionTable(ConnectionLimits()), methods, health.streaming(), max_message_bytes=100_000)
    connection, wire = GrpcConnection(port, loop, "x", probe=False), Wire()
    port.table.add(connection)
    connection.connection_made(wire)
    return connection, port, wire


def _frame(chance: random.Random, stream: int) -> bytes:
    number = chance.choice([stream, stream, stream, max(1, stream - 2), chance.randrange(5)])
    message = framed(chance.randbytes(chance.choice([0, 5, 300, 20_000])))
    cut = message[: chance.randrange(len(message) + 1)]
    path = chance.choice([HEALTH, PREDICT, PREDICT, WATCH, "/none"])
    token = chance.choice(["good", "good", "slow", "bad", None])
    block = encode_literals(request_headers(path, token=token))
    return chance.choice(
        [
            headers_frame(stream, request_headers(path, token=token)) + data_frame(stream, message),
            headers_frame(stream, request_headers(path, token=token)) + data_frame(stream, cut, end=False),
            data_frame(number, cut, end=chance.random() < 0.5)[: 9 + 16_384],
            frames.frame(frames.HEADERS, 0, stream, block[:20])
            + frames.frame(frames.CONTINUATION, 4, stream, block[20:]),
            frames.rst_stream(number, ErrorCode.CANCEL),
            frames.window_update(chance.choice([0, number]), chance.choice([1, 1000, 2**30])),
            frames.settings_frame({chance.randrange(1, 7): chance.choice([0, 1, 100, 20_000, 2**20])}),
            frames.frame(frames.PING, chance.randrange(2), 0, bytes(8)),
            frames.frame(chance.randrange(12), chance.randrange(256), number, chance.randbytes(chance.randrange(40))),
            chance.randbytes(chance.randrange(1, 30)),
        ]
    )


@pytest.mark.parametrize("seed", range(60))
def test_random_frames_raise_nothing_and_leave_nothing(seed: int) -> None:
    chance = random.Random(seed)
    faults: list[Any] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: faults.append(context))
        connection, port, _ = connected(loop)
        sent = frames.PREFACE + frames.settings_frame({})
        odd = iter(range(1, 10_000, 2))
        kinds = 6 if chance.random() < 0.5 else 30  # short ones are likelier to break nothing
        sent += b"".join(_frame(chance, next(odd)) for _ in range(kinds))
        while sent:
            size = chance.choice([1, 7, 100, 5000, 100_000])
            connection.data_received(sent[:size])
            sent = sent[size:]
            if chance.random() < 0.3:
                await asyncio.sleep(0)
            if chance.random() < 0.1:
                connection.pause_writing()
                connection.resume_writing()
        connection.check(chance.choice([0.0, 1e9]))
        for _ in range(20):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        for _ in range(5):
            await asyncio.sleep(0)
        assert (port.calls, port.held, port.unsent.bytes, len(port.table)) == (0, 0, 0, 0)
        assert (connection.lingering(), connection.streams, port.methods.bytes) == (0, {}, 0)  # type: ignore[attr-defined]

    asyncio.run(run())
    assert faults == []


@pytest.mark.parametrize("seed", range(10))
def test_calls_in_any_pieces_have_their_own_answers(seed: int) -> None:
    chance = random.Random(seed)

    async def run() -> None:
        connection, _, wire = connected(asyncio.get_running_loop())
        messages = {2 * i + 1: chance.randbytes(chance.choice([0, 3, 500, 40_000])) for i in range(12)}
        sent = frames.PREFACE + frames.settings_frame({frames.SETTINGS_WINDOW: 2**20}) + frames.window_update(0, 2**24)
        for stream, message in messages.items():
            sent += headers_frame(stream, request_headers(PREDICT, token="good"))
            whole = framed(message)
            for start in range(0, len(whole), 16_384):
                sent += data_frame(stream, whole[start : start + 16_384], end=start + 16_384 >= len(whole))
        while sent:
            size = chance.randrange(1, 30_000)
            connection.data_received(sent[:size])
            sent = sent[size:]
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        found: dict[int, bytes] = {}
        at = 0
        while at < len(wire.written):
            high, low, kind, _, stream = frames.HEAD.unpack_from(wire.written, at)
            end = at + 9 + (high << 16 | low)
            if kind == frames.DATA:
                found[stream] = found.get(stream, b"") + bytes(wire.written[at + 9 : end])
            at = end
        assert found == {stream: framed(message) for stream, message in messages.items()}

    asyncio.run(run())


def test_data_over_the_windows_of_an_unknown_client_end_the_connection() -> None:
    async def run() -> None:
        connection, _, wire = connected(asyncio.get_running_loop())
        head = headers_frame(1, request_headers(PREDICT, token="slow"))
        much = b"\0" + (90_000).to_bytes(4, "big") + bytes(90_000)
        sent = [data_frame(1, much[start : start + 16_384], end=False) for start in range(0, len(much), 16_384)]
        connection.data_received(frames.PREFACE + frames.settings_frame({}) + head + b"".join(sent))
        assert connection.closed
        assert wire.closed
        assert ErrorCode.FLOW_CONTROL_ERROR.to_bytes(4, "big") in wire.written

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["blocks to decode", "small frames"])
def test_others_have_their_turns_between_the_frames_of_one_client(kind: str) -> None:
    async def run() -> int:
        loop = asyncio.get_running_loop()
        client, port, _ = connected(loop)
        if kind == "small frames":
            flood = headers_frame(1, request_headers(HEALTH)) + data_frame(1, b"\0\0\0\x3f\xff", end=False)
            flood += data_frame(1, b"x", end=False) * 16_000
        else:
            calls = (headers_frame(2 * i + 1, request_headers(f"/none/{i}"), end=True) for i in range(2000))
            flood = b"".join(calls)
        client.data_received(frames.PREFACE + frames.settings_frame({}) + flood)
        turns = 0
        while client.reader.has_more:
            turns += 1
            await asyncio.sleep(0)
        if kind == "small frames":
            assert port.held == 16_000 + 5
        else:
            assert client.last_stream == 3999
        client.connection_lost(None)
        return turns

    assert asyncio.run(run()) > 10


def test_only_a_client_with_a_token_keeps_its_place_while_a_call_is_open() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        for path, token, evictable in ((HEALTH, None, True), (PREDICT, "slow", True), (PREDICT, "good", False)):
            client, _, _ = connected(loop)
            begun = client.evictable_since()
            client.data_received(frames.PREFACE + frames.settings_frame({}))
            client.data_received(headers_frame(1, request_headers(path, token=token)))
            assert client.waits_since == math.inf
            assert client.evictable_since() == (begun if evictable else math.inf)
            client.abort()
            client.connection_lost(None)

    asyncio.run(run())


def test_times_end_what_waits() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        begun, _, wire = connected(loop)
        begun.data_received(frames.PREFACE[:10])
        begun.check(1000.0)
        begun.check(1000.0 + ConnectionLimits().head_s)
        assert wire.closed
        idle, _, wire = connected(loop)
        idle.data_received(frames.PREFACE + frames.settings_frame({}))
        idle.check(idle.waits_since + 1)
        assert not idle.draining
        idle.check(idle.waits_since + 1000)
        assert idle.draining
        idle.data_received(frames.frame(frames.PING, frames.ACK, 0, b"draining"))
        assert wire.closed
        late, port, wire = connected(loop)
        late.data_received(frames.PREFACE + frames.settings_frame({}))
        late.data_received(headers_frame(1, request_headers(PREDICT, token="good")))
        late.streams[1].request.started -= 1000
        late.check(late._loop.time())
        assert late.streams == {}
        await asyncio.sleep(0)
        assert b"The message did not come in time." in wire.written
        assert port.calls == 0

    asyncio.run(run())


def test_a_connection_that_reads_nothing_is_aborted() -> None:
    async def run() -> None:
        connection, _, wire = connected(asyncio.get_running_loop())
        settings = frames.settings_frame({frames.SETTINGS_WINDOW: 0})
        connection.data_received(frames.PREFACE + settings + headers_frame(1, request_headers(PREDICT, token="good")))
        connection.data_received(data_frame(1, framed(b"abc")))
        for _ in range(5):
            await asyncio.sleep(0)
        since = connection.sending.stalled_since()
        connection.check(since + 29)
        assert not wire.closed
        connection.check(since + ConnectionLimits().stalled_s)
        assert wire.closed

    asyncio.run(run())


def test_a_probe_is_answered_once_and_asks_for_health_only() -> None:
    async def run(path: str) -> bytes:
        connection, _, wire = connected(asyncio.get_running_loop())
        connection.probe = True
        call = headers_frame(1, request_headers(path, token="good")) + data_frame(1, framed(b""))
        connection.data_received(frames.PREFACE + frames.settings_frame({}) + call)
        for _ in range(5):
            await asyncio.sleep(0)
        assert wire.closed
        return bytes(wire.written)

    assert b"grpc-status\x010" in asyncio.run(run(HEALTH))
    assert b"grpc-status\x0214" in asyncio.run(run(PREDICT))
