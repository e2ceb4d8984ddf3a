"""Clients that want to hold memory, time or connections of the gRPC port, and floods."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from hpack import Encoder

from app.http2 import http2_frames as frames
from app.http2.header_blocks import encode_literals
from app.http2.http2_frames import MOST_WINDOW, ErrorCode
from tests.protocols.conftest import MESSAGE_BYTES, Port
from tests.protocols.raw_http2 import (
    HEALTH,
    PREDICT,
    REFLECTION,
    WATCH,
    RawClient,
    data_frame,
    framed,
    headers_frame,
    request_headers,
)
from tests.protocols.test_tensorflow_serving import floats, predict_request

frame = frames.frame
LIMIT = MESSAGE_BYTES + 64 * 1024


def _rapid_resets(count: int) -> bytes:
    return b"".join(
        headers_frame(2 * i + 1, request_headers(PREDICT, token="asker"))
        + frame(frames.RST_STREAM, 0, 2 * i + 1, bytes(4))
        for i in range(count)
    )


@pytest.mark.parametrize(
    "flood",
    [
        lambda: frame(frames.PING, 0, 0, bytes(8)) * 5000,
        lambda: frames.settings_frame({}) * 5000,
        lambda: frames.settings_frame({frames.SETTINGS_WINDOW: 5}) * 5000,
        lambda: frame(frames.SETTINGS, frames.ACK, 0) * 5000,
        lambda: frame(frames.PRIORITY, 0, 1, bytes(5)) * 5000,
        lambda: frame(0xAA, 0, 1) * 5000,
        lambda: frame(frames.WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big")) * 5000,
        lambda: headers_frame(1, request_headers()) + frame(frames.DATA, 0, 1) * 5000,
        lambda: headers_frame(1, request_headers()) + frame(frames.DATA, frames.PADDED, 1, b"\0") * 5000,
        lambda: headers_frame(1, request_headers(), end=True) + data_frame(1, b"") * 5000,
        lambda: _rapid_resets(5000),
        lambda: b"".join(headers_frame(2 * i + 1, [(b"x", b"y")]) for i in range(5000)),
        lambda: frame(frames.HEADERS, 0, 1) + frame(frames.CONTINUATION, 0, 1) * 5000,
        lambda: frame(frames.HEADERS, 0, 1, bytes(60_000)),
        lambda: frame(frames.HEADERS, 0, 1, bytes(16_000)) + frame(frames.CONTINUATION, 0, 1, bytes(16_000)) * 5000,
    ],
)
def test_floods_end_the_connection(port: Port, flood: Callable[[], bytes]) -> None:
    with RawClient(port.number) as client:
        client.send(flood())
        assert client.goodbye() in (ErrorCode.ENHANCE_YOUR_CALM, -1)  # -1: the system dropped it with what was unread
        assert client.ended
    port.until(lambda: not len(port.table) or not port.grpc.state.calls)
    with RawClient(port.number) as client:
        assert client.call(1).status == "0"


def test_small_blocks_that_unfold_end_the_connection(port: Port) -> None:
    encoder = Encoder()
    with RawClient(port.number) as client:
        first = encoder.encode([*request_headers(), (b"x-long", b"y" * 3000)])
        many = encoder.encode([*request_headers(), *[(b"x-long", b"y" * 3000)] * 2000])
        assert len(many) < 2100
        client.send(frame(frames.HEADERS, frames.END_HEADERS, 1, first), data_frame(1, framed(b"")))
        assert client.answers(1)[1].status == "0"
        client.send(frame(frames.HEADERS, frames.END_HEADERS, 3, many))
        assert client.goodbye() == ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("block", [b"\x83" * 150, encode_literals([*request_headers(), *[(b"a", b"b")] * 150])])
def test_headers_without_number_end_the_connection(port: Port, block: bytes) -> None:
    with RawClient(port.number) as client:
        client.send(frame(frames.HEADERS, frames.END_HEADERS, 1, block))
        assert client.goodbye() == ErrorCode.ENHANCE_YOUR_CALM


def test_streams_over_the_limit_are_refused_and_the_others_go_on(port: Port) -> None:
    with RawClient(port.number) as client:
        opened = [2 * i + 1 for i in range(260)]
        client.send(*[headers_frame(stream, request_headers()) for stream in opened])
        refused = client.answers(*opened[256:])
        assert {answer.reset for answer in refused.values()} == {ErrorCode.REFUSED_STREAM}
        client.send(*[data_frame(stream, framed(b"")) for stream in opened[:256]])
        assert {answer.status for answer in client.answers(*opened[:256]).values()} == {"0"}


def test_a_message_over_the_limit_is_refused_by_its_length(port: Port) -> None:
    with RawClient(port.number) as client:
        client.send(headers_frame(1, request_headers(PREDICT, token="asker")))
        client.send(data_frame(1, b"\0" + (LIMIT + 1).to_bytes(4, "big"), end=False))
        answer = client.answers(1)[1]
        assert (answer.status, answer.headers["grpc-message"].startswith("The message has")) == ("8", True)
        client.send(headers_frame(3, request_headers(HEALTH)), data_frame(3, b"\0\0\1\0\0", end=False))
        assert client.answers(3)[3].status == "8"  # without a token a message is small
        assert client.call(5).status == "0"


def test_without_a_token_nothing_is_held(port: Port) -> None:
    with RawClient(port.number) as client:
        client.send(
            headers_frame(1, request_headers(PREDICT)), headers_frame(3, request_headers(PREDICT, token="none"))
        )
        client.send(headers_frame(5, request_headers(PREDICT, authorization="Basic asker")))
        answers = client.answers(1, 3, 5)
        assert {answer.status for answer in answers.values()} == {"16"}
        twice = [*request_headers(PREDICT, token="asker"), (b"authorization", b"Bearer reader")]
        client.send(headers_frame(7, twice))
        assert client.answers(7)[7].status == "3"


def test_messages_that_never_end_are_bounded_and_given_back(port: Port) -> None:
    with RawClient(port.number) as client:
        streams = [2 * i + 1 for i in range(20)]
        for stream in streams:
            client.send(headers_frame(stream, request_headers(PREDICT, token="asker")))
            client.send(data_frame(stream, b"\0" + (LIMIT - 1).to_bytes(4, "big"), end=False))
        refused = client.answers(*streams[8:])
        assert {(one.status, one.headers["retry-after"]) for one in refused.values()} == {("14", "1")}
        assert port.grpc.state.held <= 8 * LIMIT
    port.until(lambda: port.grpc.state.held == 0 and port.grpc.state.calls == 0)
    account = port.inference.accounts.for_token("tok_1")
    port.until(lambda: account.bytes == 0)


def test_a_client_that_leaves_or_resets_gives_its_places_back(port: Port) -> None:
    batcher = port.server.service.batcher
    request = framed(predict_request("picky", x=floats(1)).SerializeToString())
    with RawClient(port.number) as client:
        for stream in (1, 3):
            client.send(headers_frame(stream, request_headers(PREDICT, token="asker")), data_frame(stream, request))
        client.send(frame(frames.RST_STREAM, 0, 1, bytes(4)))
        client.is_served()
    port.until(lambda: port.grpc.state.calls == 0 and batcher.rows_waiting == 0)
    port.until(lambda: port.inference.accounts.for_token("tok_1").rows == 0)


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_messages_are_read_within_the_limit(
    port: Port, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    good = predict_request(x=floats(1)).SerializeToString()
    with RawClient(port.number) as client:
        statuses = []
        for number, (message, flag) in enumerate(
            [
                (compress(good), 1),
                (good, 0),
                (compress(bytes(3 * MESSAGE_BYTES)), 1),
                (b"none", 1),
                (compress(good)[:-4], 1),
            ]
        ):
            stream = 2 * number + 1
            headers = request_headers(PREDICT, token="asker", grpc_encoding=encoding)
            client.send(headers_frame(stream, headers), data_frame(stream, framed(message, flag)))
            statuses.append(client.answers(stream)[stream].status)
        assert statuses == ["0", "0", "3", "3", "3"]
        client.send(headers_frame(21, request_headers(PREDICT, token="asker")), data_frame(21, framed(good, 1)))
        assert client.answers(21)[21].status == "3"
        assert client.call(23, grpc_encoding="snappy").headers["grpc-accept-encoding"] == "identity, deflate, gzip"


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"\0\0\0\0\5abc", framed(b"") + framed(b""), framed(b"") + b"\0"])
def test_calls_bring_one_whole_message(port: Port, data: bytes) -> None:
    with RawClient(port.number) as client:
        client.send(headers_frame(1, request_headers()), data_frame(1, data))
        assert client.answers(1)[1].status == "3"
        client.send(headers_frame(3, request_headers(), end=True))
        assert client.answers(3)[3].status == "3"


@pytest.mark.parametrize(
    ("timeout", "status"), [("0n", "4"), ("5H", "0"), ("1x", "3"), ("123456789S", "3"), ("-1S", "3"), ("", "3")]
)
def test_deadlines_are_read(port: Port, timeout: str, status: str) -> None:
    request = predict_request(x=floats(1)).SerializeToString()
    with RawClient(port.number) as client:
        assert client.call(1, PREDICT, request, token="asker", grpc_timeout=timeout).status == status


def test_streaming_calls_are_few_and_their_messages_small(port: Port) -> None:
    with RawClient(port.number) as client:
        opened = [2 * i + 1 for i in range(17)]
        client.send(*[headers_frame(stream, request_headers(WATCH)) for stream in opened])
        assert client.answers(33)[33].reset == ErrorCode.REFUSED_STREAM
        client.send(data_frame(1, b"\0\0\1\0\0", end=False), data_frame(3, b"\1\0\0\0\0", end=False))
        assert {answer.status for answer in client.answers(1, 3).values()} == {"8"}
        client.send(data_frame(5, framed(b"\xff")), data_frame(7, b"\0\0"), data_frame(9, b""))
        assert {answer.status for answer in client.answers(5, 7, 9).values()} == {"3"}


def _asks(symbol: str) -> bytes:
    return framed(b"\x22" + bytes((len(symbol),)) + symbol.encode())


def test_reflection_sends_a_file_once_and_not_to_who_does_not_read(port: Port) -> None:
    everything = frames.settings_frame({frames.SETTINGS_WINDOW: MOST_WINDOW})
    everything += frame(frames.WINDOW_UPDATE, 0, 0, (MOST_WINDOW - 65_535).to_bytes(4, "big"))
    first, again = (_asks(f"tensorflow.{name}") for name in ("serving.PredictionService", "serving.ModelService"))
    with RawClient(port.number) as client:
        client.send(everything, headers_frame(1, request_headers(REFLECTION)), data_frame(1, first))
        sent = len(client.answers(1)[1].message)
    with RawClient(port.number) as client:
        client.send(everything, headers_frame(1, request_headers(REFLECTION)), data_frame(1, first + again * 500))
        answer = client.answers(1)[1]
        assert answer.status == "8"  # long before the last one
        assert sent < len(answer.message) < 2**20
    with RawClient(port.number) as client:
        client.send(headers_frame(1, request_headers(REFLECTION)), data_frame(1, framed(b"\x3a\0") * 5000, end=False))
        assert client.goodbye() in (ErrorCode.ENHANCE_YOUR_CALM, -1)
        assert client.ended
