"""Frames: there and back, in pieces, and bytes that are none."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.serving.protocol import (
    MAX_FRAME_BYTES,
    BadFrame,
    BatchResult,
    FrameReader,
    FrameSource,
    Load,
    LoadResult,
    RunBatch,
    decode_reply,
    decode_request,
    frame,
    frame_length,
)

RUN = RunBatch(3, 1, "predict", [1, 2], [0, 1], [b"\x00\x01", ["a", b"\xff"]])


def test_messages_survive_the_wire_in_any_pieces() -> None:
    messages = [BatchResult(1, [b"{}", 3], 5), LoadResult(2, None, 0.5, 10), BatchResult(3, [b"x" * 100_000], 1)]
    stream = b"".join(map(frame, messages))
    for size in (1, 7, 4096, len(stream)):
        reader = FrameReader()
        pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
        assert [decode_reply(payload) for piece in pieces for payload in reader.feed(piece)] == messages


def test_payloads_come_from_a_socket_in_any_pieces_until_it_ends() -> None:
    messages = [RUN, Load(1, 2, "/x", "sha256:0"), RunBatch(4, 1, "s", [1], [0], [b"x" * 200_000]), RUN]
    stream = b"".join(map(frame, messages))
    for size in (3, 5, 70_000, len(stream)):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            send = threading.Thread(target=_send_in_pieces, args=(theirs, stream, size))
            send.start()
            source = FrameSource(ours)
            assert [decode_request(source.next()) for _ in messages] == messages
            send.join()
            with pytest.raises(EOFError):
                source.next()


def _send_in_pieces(connection: socket.socket, stream: bytes, size: int) -> None:
    for start in range(0, 300, size):
        connection.sendall(stream[start : min(start + size, 300)])
    connection.sendall(stream[300:])
    connection.shutdown(socket.SHUT_WR)


def test_requests_survive_the_wire() -> None:
    for message in (RUN, Load(1, 2, "/x", "sha256:0")):
        assert decode_request(frame(message)[4:]) == message


def test_length_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadFrame):
        frame_length((MAX_FRAME_BYTES + 1).to_bytes(4, "little"))
    with pytest.raises(BadFrame):
        list(FrameReader().feed(b"\xff\xff\xff\xff"))
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(BadFrame):
        theirs.sendall(b"\xff\xff\xff\xff")
        FrameSource(ours).next()


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_decode_or_are_bad_frames(data: bytes) -> None:
    for decode in (decode_request, decode_reply):
        try:
            decode(data)
        except BadFrame:
            pass


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_frame_decodes_or_is_a_bad_frame(data: st.DataObject) -> None:
    payload = bytearray(frame(RUN)[4:])
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_request(bytes(payload))
    except BadFrame:
        pass
