"""What HTTP/2 (RFC 9113) asks of a server, frame by frame, on the gRPC port."""

from __future__ import annotations

import pytest
from hpack import Encoder

from app.http2 import http2_frames as frames
from app.http2.http2_frames import ErrorCode
from tests.protocols.conftest import Port
from tests.protocols.raw_http2 import (
    HEALTH,
    PREDICT,
    WATCH,
    RawClient,
    data_frame,
    framed,
    headers_frame,
    request_headers,
)
from tests.protocols.test_tensorflow_serving import floats, predict_request

frame = frames.frame
MESSAGE = framed(b"")
GOOD = request_headers()
SERVING = framed(b"\x08\x01")
ONE, TWO = (n.to_bytes(4, "big") for n in (1, 2))


def test_settings_are_told_and_acknowledged_and_pings_come_back(port: Port) -> None:
    with RawClient(port.number) as client:
        seen = iter(client.frames())
        first = next(seen)
        assert (first.kind, first.flags) == (frames.SETTINGS, 0)
        told = dict(frames.read_settings(first.payload))
        assert told[frames.SETTINGS_STREAMS] == 256
        assert next(f for f in seen if f.kind == frames.SETTINGS).flags == frames.ACK
        client.is_served()


@pytest.mark.parametrize("cut", [1, 9, 23, 24, 30, 40, 60, 61, 80])
def test_bytes_may_come_in_any_pieces(port: Port, cut: int) -> None:
    with RawClient(port.number, preface=False) as client:
        sent = frames.PREFACE + frames.settings_frame({}) + headers_frame(1, GOOD) + data_frame(1, MESSAGE)
        for start in range(0, len(sent), cut):
            client.send(sent[start : start + cut])
        assert client.answers(1)[1].message == SERVING


def test_a_call_may_be_padded_have_a_priority_and_go_in_many_frames(port: Port) -> None:
    block = headers_frame(1, GOOD)[9:]
    padded = b"\x05" + b"\0\0\0\0\x10" + block[:10] + bytes(5)
    with RawClient(port.number) as client:
        client.send(
            frame(frames.PRIORITY, 0, 1, b"\0\0\0\0\x10"),
            frame(frames.HEADERS, frames.PADDED | frames.HAS_PRIORITY, 1, padded),
            frame(frames.CONTINUATION, 0, 1, block[10:20]),
            frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[20:]),
            frame(0xBE, 0xFF, 1, b"a kind that nobody knows"),
            frame(frames.DATA, frames.PADDED, 1, b"\x03" + MESSAGE[:2] + bytes(3)),
            frame(frames.DATA, 0, 1),
            data_frame(1, MESSAGE[2:], end=False),
            headers_frame(1, [(b"a-trailer", b"of the client")], end=True),
        )
        answer = client.answers(1)[1]
        assert (answer.message, answer.status) == (SERVING, "0")
        client.is_served()


def test_blocks_are_read_by_the_table_that_they_change(port: Port) -> None:
    """The same bytes mean other headers once the table has changed."""
    encoder = Encoder()
    with RawClient(port.number) as client:
        statuses = []
        for number, path in enumerate([HEALTH, HEALTH, HEALTH, "/none", HEALTH, HEALTH, "/none"]):
            stream = 2 * number + 1
            if number == 4:
                encoder.header_table_size = 100
            headers = [(name, path.encode() if name == b":path" else value) for name, value in GOOD]
            block = encoder.encode(headers)
            client.send(frame(frames.HEADERS, frames.END_HEADERS, stream, block), data_frame(stream, MESSAGE))
            statuses.append(client.answers(stream)[stream].status)
        assert statuses == ["0", "0", "0", "12", "0", "0", "12"]


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        (ErrorCode.PROTOCOL_ERROR, frame(frames.DATA, 0, 0, b"x")),
        (ErrorCode.PROTOCOL_ERROR, data_frame(1, b"x")),
        (ErrorCode.PROTOCOL_ERROR, headers_frame(2, GOOD)),
        (ErrorCode.PROTOCOL_ERROR, headers_frame(0, GOOD)),
        (ErrorCode.PROTOCOL_ERROR, frame(frames.RST_STREAM, 0, 1, bytes(4))),
        (ErrorCode.PROTOCOL_ERROR, frame(frames.RST_STREAM, 0, 0, bytes(4))),
        (ErrorCode.FRAME_SIZE_ERROR, frame(frames.RST_STREAM, 0, 1, bytes(3))),
        (ErrorCode.PROTOCOL_ERROR, frame(frames.WINDOW_UPDATE, 0, 1, ONE)),
        (ErrorCode.PROTOCOL_ERROR, frame(frames.WINDOW_UPDATE, 0, 0, bytes(4))),
        (ErrorCode.FRAME_SIZE_ERROR, frame(frames.WINDOW_UPDATE, 0, 0, bytes(5))),
        (ErrorCode.FLOW_CONTROL_ERROR, frame(frames.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")),
        (ErrorCode.PROTOCOL_ERROR, frame(frames.PING, 0, 1, bytes(8))),
        (ErrorCode.FRAME_SIZE_ERROR, frame(frames.PING, 0, 0, bytes(7))),
        (ErrorCode.PROTOCOL_ERROR, frame(frames.SETTINGS, 0, 1)),
        (ErrorCode.FRAME_SIZE_ERROR, frame(frames.SETTINGS, 0, 0, bytes(5))),
        (ErrorCode.FRAME_SIZE_ERROR, frame(frames.SETTINGS, frames.ACK, 0, bytes(6))),
        (ErrorCode.FLOW_CONTROL_ERROR, frames.settings_frame({frames.SETTINGS_WINDOW: 2**31})),
        (ErrorCode.PROTOCOL_ERROR, frames.settings_frame({frames.SETTINGS_FRAME: 100})),
        (ErrorCode.PROTOCOL_ERROR, frames.settings_frame({frames.SETTINGS_PUSH: 2})),
        (ErrorCode.PROTOCOL_ERROR, frame(frames.PUSH_PROMISE, 0, 1, bytes(4))),
        (ErrorCode.PROTOCOL_ERROR, frame(frames.CONTINUATION, frames.END_HEADERS, 1, b"")),
        (ErrorCode.PROTOCOL_ERROR, frame(frames.GOAWAY, 0, 1, bytes(8))),
        (ErrorCode.PROTOCOL_ERROR, frame(frames.HEADERS, 0, 1, b"") + frame(frames.PING, 0, 0, bytes(8))),
        (ErrorCode.PROTOCOL_ERROR, frame(frames.HEADERS, 0, 1, b"") + frame(frames.CONTINUATION, 4, 3, b"")),
        (ErrorCode.PROTOCOL_ERROR, frame(frames.HEADERS, frames.PADDED, 1, b"\x09abc")),
        (ErrorCode.FRAME_SIZE_ERROR, frame(frames.HEADERS, frames.PADDED, 1, b"")),
        (ErrorCode.FRAME_SIZE_ERROR, frame(frames.HEADERS, frames.HAS_PRIORITY, 1, b"abc")),
        (ErrorCode.FRAME_SIZE_ERROR, b"\xff\xff\xff\0\0\0\0\0\1"),
        (ErrorCode.COMPRESSION_ERROR, frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff\x0f")),
        (ErrorCode.COMPRESSION_ERROR, frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x80")),
        (ErrorCode.COMPRESSION_ERROR, frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x00\x7f\x80")),
        (ErrorCode.COMPRESSION_ERROR, frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x3f\xe1\xff\x03")),
    ],
)
def test_what_breaks_the_connection_ends_it_with_its_code(port: Port, code: ErrorCode, sent: bytes) -> None:
    with RawClient(port.number) as client:
        client.send(sent)
        assert client.goodbye() == code


def test_streams_that_ended_cannot_be_used_again(port: Port) -> None:
    with RawClient(port.number) as client:
        assert client.call(5).status == "0"
        client.send(data_frame(5, b"more"))
        assert client.answers(5)[5].reset == ErrorCode.STREAM_CLOSED
        client.send(frame(frames.WINDOW_UPDATE, 0, 5, ONE), frame(frames.RST_STREAM, 0, 5, bytes(4)))
        client.is_served()
        client.send(headers_frame(3, GOOD))
        assert client.goodbye() == ErrorCode.STREAM_CLOSED


@pytest.mark.parametrize(
    "preface", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/3"]
)
def test_what_is_no_http2_is_told_so(port: Port, preface: bytes) -> None:
    with RawClient(port.number, preface=False) as client:
        client.send(preface)
        assert client.goodbye() == ErrorCode.PROTOCOL_ERROR


def test_settings_have_to_come_first(port: Port) -> None:
    with RawClient(port.number, preface=False) as client:
        client.send(frames.PREFACE, frame(frames.PING, 0, 0, bytes(8)))
        assert client.goodbye() == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "headers",
    [
        [*GOOD, (b":path", b"/again")],
        GOOD[1:],
        [*GOOD, (b"connection", b"close")],
        [*GOOD, (b"Upper", b"case")],
        [*GOOD, (b"transfer-encoding", b"chunked")],
        [*GOOD, (b"te", b"gzip")],
        [*GOOD, (b":new", b"pseudo")],
        [*GOOD, (b"x", b"a\r\nb: c")],
        [*GOOD, (b"", b"no name")],
        [(b"x", b"first"), *GOOD],
        [(name, b"" if name == b":path" else value) for name, value in GOOD],
    ],
)
def test_malformed_requests_end_their_stream_alone(port: Port, headers: list[tuple[bytes, bytes]]) -> None:
    with RawClient(port.number) as client:
        client.send(headers_frame(1, headers), data_frame(1, MESSAGE))
        assert client.answers(1)[1].reset == ErrorCode.PROTOCOL_ERROR
        assert client.call(3).status == "0"


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        ("415", {"content-type": "application/json"}),
        ("415", {"content-type": "application/grpcx"}),
        ("405", {":method": "GET"}),
    ],
)
def test_requests_that_are_no_grpc_get_an_http_status(port: Port, status: str, changes: dict[str, str]) -> None:
    headers = {name.decode(): value.decode() for name, value in GOOD} | changes
    with RawClient(port.number) as client:
        client.send(headers_frame(1, [(n.encode(), v.encode()) for n, v in headers.items()], end=True))
        assert client.answers(1)[1].headers[":status"] == status
        client.is_served()


def test_an_answer_waits_for_the_windows_of_its_client(port: Port) -> None:
    rows = 2000
    request = predict_request(x=floats(*range(rows))).SerializeToString()
    small = {frames.SETTINGS_WINDOW: 10, frames.SETTINGS_TABLE: 0}
    with RawClient(port.number, small) as client:
        client.send(
            headers_frame(1, request_headers(PREDICT, token="asker")),
            data_frame(1, framed(request)),
        )
        assert len(client.next(frames.DATA, 1).payload) == 10
        client.is_served()
        client.send(frame(frames.WINDOW_UPDATE, 0, 1, (5).to_bytes(4, "big")))
        assert len(client.next(frames.DATA, 1).payload) == 5
        client.send(frames.settings_frame({frames.SETTINGS_WINDOW: 20}))
        assert len(client.next(frames.DATA, 1).payload) == 10
        client.send(frames.settings_frame({frames.SETTINGS_WINDOW: 2**20}))
        answer = client.answers(1)[1]
        assert answer.status == "0"
        assert len(answer.message) > 4 * rows - 40


def test_a_window_that_grows_too_large_ends_its_stream(port: Port) -> None:
    with RawClient(port.number) as client:
        client.send(headers_frame(1, request_headers(WATCH)), frame(frames.WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"))
        assert client.answers(1)[1].reset == ErrorCode.FLOW_CONTROL_ERROR
        client.is_served()
    with RawClient(port.number) as client:
        client.send(headers_frame(1, request_headers(WATCH)), frame(frames.WINDOW_UPDATE, 0, 1, ONE))
        client.send(frames.settings_frame({frames.SETTINGS_WINDOW: 2**31 - 1}))
        assert client.goodbye() == ErrorCode.FLOW_CONTROL_ERROR


def test_a_message_gets_the_window_that_it_needs_once_its_token_is_known(port: Port) -> None:
    rows = 60_000
    message = framed(predict_request(x=floats(*range(rows))).SerializeToString())
    with RawClient(port.number, {frames.SETTINGS_WINDOW: 2**20}) as client:
        client.send(headers_frame(1, request_headers(PREDICT, token="asker")))
        client.send(frame(frames.WINDOW_UPDATE, 0, 0, (2**20).to_bytes(4, "big")))
        sent, window, connection = 0, 65_535, 65_535
        while sent < len(message):
            size = min(16_384, window, connection, len(message) - sent)
            if size:
                client.send(data_frame(1, message[sent : sent + size], end=sent + size == len(message)))
                sent, window, connection = sent + size, window - size, connection - size
                continue
            update = next(f for f in client.frames() if f.kind == frames.WINDOW_UPDATE)
            more = int.from_bytes(update.payload, "big")
            window, connection = (window + more, connection) if update.stream else (window, connection + more)
        answer = client.answers(1)[1]
        assert (answer.status, len(answer.message) > 4 * rows) == ("0", True)
