"""Damaged requests against a real server: no crash, no 5xx, and no memory kept of them."""

from __future__ import annotations

import json
import os
import random
import tracemalloc
from pathlib import Path

import numpy as np

from app.serving.export_description import InputFeature
from app.serving.packing import RowPacker
from app.serving.protocol import BadFrame, RunBatch, decode_request, frame
from tests.serving.conftest import Server

ROW = {"n": 1, "v": [1.0, 2.0], "s": "x", "q": [1, 2]}
GOOD = [
    ("half:predict", {"instances": [1.0, 2.0]}),
    ("half:predict", {"inputs": {"x": [1.0, 2.0]}}),
    ("half:regress", {"signature_name": "regression", "examples": [{"x": 1.0}]}),
    ("mixed:predict", {"instances": [ROW, ROW | {"q": []}]}),
    ("mixed:predict", {"instances": [ROW | {"s": {"b64": "eHg="}}], "signature_name": "serving_default"}),
    ("picky:predict", {"inputs": [1, 2, 3]}),
]
TOKENS = [
    *[b"[", b"]", b"{", b"}", b",", b":", b'"', b"null", b"true", b"NaN", b"-0", b"7", b"\x00", b"\xff"],
    *[b"1e999", b"9" * 40, b"1" * 400, b"0.1e-400", b"[" * 1000, b"\\ud800", b"\\u0000"],
    *[b'{"b64":"', b'"instances":', b'"x":1,'],
]
ROUNDS = 1200
MIB = 2**20


def damaged(body: bytes, rng: random.Random) -> bytes:
    """That body with one to four places cut, doubled, overwritten or filled with a token."""
    data = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.randint(0, 6))
        piece = data[start:end]
        data[start:end] = rng.choice([b"", piece * 2, rng.choice(TOKENS), rng.randbytes(3), bytes(reversed(piece))])
    return bytes(data)


def private_bytes(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


def test_damaged_requests_are_answered_without_5xx_and_leave_no_memory(server: Server) -> None:
    rng = random.Random(20)
    bodies = [(path, json.dumps(content).encode()) for path, content in GOOD]
    for path, content in GOOD:
        assert server.post(path, content).status_code in (200, 404), path
    pid, before = server.service.predictor_pid, 0
    seen = set()
    for number in range(ROUNDS):
        if number == ROUNDS // 4:
            before = private_bytes(pid)
        path, body = rng.choice(bodies)
        answer = server.post(path, damaged(body, rng))
        seen.add(answer.status_code)
        assert answer.status_code in (200, 404, 413, 422), (answer.status_code, answer.text)

    assert {200, 422} <= seen
    assert server.service.predictor_pid == pid
    assert private_bytes(pid) - before < 4 * MIB


def test_damaged_frames_are_refused_without_allocating_what_they_claim() -> None:
    packer = RowPacker(
        [InputFeature("a", "float32"), InputFeature("s", "string"), InputFeature("q", "int64", sequence=True)]
    )
    lengths = np.array([1, 2], "<i8").tobytes()
    columns = [np.zeros(2, "<f4").tobytes(), ["x", b"y"], np.zeros(3, "<i8").tobytes(), lengths]
    payload = frame(RunBatch(1, 1, "predict", [1, 1], [0, 0], columns))[4:]
    rng = random.Random(21)
    good = 0
    tracemalloc.start()
    try:
        for _ in range(8000):
            data = bytearray(payload)
            for _ in range(rng.randint(1, 3)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            try:
                request = decode_request(bytes(data))
                if isinstance(request, RunBatch):
                    packer.unpack(request.columns, sum(request.counts))
                    good += 1
            except BadFrame:
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert good
    assert peak < 2 * MIB
