"""Frames: there and back, in pieces, and bytes that are none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.serving.protocol import (
    MAX_FRAME_BYTES,
    BadFrame,
    BatchResult,
    FrameReader,
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


def test_requests_survive_the_wire() -> None:
    for message in (RUN, Load(1, 2, "/x", "sha256:0")):
        assert decode_request(frame(message)[4:]) == message


def test_length_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadFrame):
        frame_length((MAX_FRAME_BYTES + 1).to_bytes(4, "little"))
    with pytest.raises(BadFrame):
        list(FrameReader().feed(b"\xff\xff\xff\xff"))


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
