"""The attacks: each takes the target and says what became of its connections. All are bounded."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from target import GOOD, PREDICT, Target

MIB = 2**20
WAIT_S = 8.0
GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass(frozen=True)
class Outcome:
    """`status`: of the answer; the most frequent where there were many; None: there was none."""

    closed: bool
    status: int | None


ATTACKS: dict[str, Callable[[Target], Outcome]] = {}


def attack(work: Callable[[Target], Outcome]) -> Callable[[Target], Outcome]:
    ATTACKS[work.__name__] = work
    return work


def endless(target: Target, start: bytes, more: bytes, megabytes: int = 100) -> Outcome:
    """Sends `more` again and again, as long as it is taken."""
    with target.connect() as connection:
        closed, sent = False, 0
        try:
            connection.sendall(start)
            while sent < megabytes * MIB:
                connection.sendall(more)
                sent += len(more)
        except OSError:
            closed = True
    with target.connect() as connection:  # and once more in one piece, to read the answer
        connection.sendall(start + more[:60_000])
        status = answer_of(connection)
    return Outcome(closed, status)


def answer_of(connection: socket.socket) -> int | None:
    with suppress(OSError):
        found = re.match(rb"HTTP/1\.1 (\d+)", connection.recv(65536))
        return int(found[1]) if found else None
    return None


def post(target: Target, path: str, body: bytes, **headers: str) -> Outcome:
    try:
        return Outcome(False, target.call("POST", path, body, headers)[0])
    except OSError:
        return Outcome(True, None)


@attack
def head_of_many_headers(target: Target) -> Outcome:
    return endless(target, GET[:-2], b"a: b\r\n" * 10_000)


@attack
def head_of_one_header(target: Target) -> Outcome:
    return endless(target, GET[:-2] + b"X-A: ", b"a" * 65536)


@attack
def request_line_without_end(target: Target) -> Outcome:
    return endless(target, b"GET /", b"a" * 65536)


@attack
def trailers_without_end(target: Target) -> Outcome:
    head = GET[:-2] + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
    return endless(target, head, b"a: b\r\n" * 10_000)


@attack
def connections_kept_by_line_breaks(target: Target) -> Outcome:
    held = [target.connect() for _ in range(50)]
    for connection in held:
        connection.sendall(GET)
        connection.recv(1000)
        connection.sendall(b"\r\n")
    time.sleep(WAIT_S)
    closed = sum(is_closed(connection) for connection in held)
    for connection in held:
        connection.close()
    return Outcome(closed == len(held), 200)


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass  # what it answered before
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


@attack
def connections_without_number(target: Target) -> Outcome:
    held, closed = [], 0
    try:
        for _ in range(2500):
            connection = target.connect()
            held.append(connection)
            connection.sendall(GET)
        time.sleep(0.5)
        closed = sum(is_closed(connection) for connection in held[:100])
    except OSError:
        closed += 1
    finally:
        for connection in held:
            connection.close()
    return Outcome(closed > 0, 200)


@attack
def pipelined_without_reading(target: Target) -> Outcome:
    return endless(target, GET, GET * 1000, 20)


@attack
def readiness_asked_ten_thousand_times(target: Target) -> Outcome:
    statuses: list[int] = []

    def ask() -> None:
        with target.connect() as connection:
            for _ in range(500):
                connection.sendall(GET.replace(b"healthz", b"readyz"))
                statuses.append(answer_of(connection) or 0)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Outcome(False, max(set(statuses), key=statuses.count))


@attack
def bodies_a_byte_at_a_time(target: Target) -> Outcome:
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {target.token}\r\n"
    held = [target.connect() for _ in range(100)]
    for connection in held:
        connection.sendall(f"{head}Content-Length: 30000000\r\n\r\n".encode())
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:  # for ever, had it the time
        for connection in held:
            connection.sendall(b"{")
        time.sleep(0.5)
    for connection in held:
        connection.close()
    return Outcome(False, None)  # a body has 30 s, and a second more per 32 KiB


@attack
def event_streams_without_number(target: Target) -> Outcome:
    job = json.loads(target.call("GET", "/v1/jobs")[1])["jobs"][0]["id"]
    head = f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {target.token}\r\n\r\n"
    held, statuses = [], []
    for _ in range(400):
        held.append(target.connect())
        held[-1].sendall(head.encode())
    statuses = [answer_of(connection) or 0 for connection in held]
    for connection in held:
        connection.close()
    return Outcome(False, max(set(statuses), key=statuses.count))


@attack
def websocket_frames(target: Target) -> Outcome:
    offer = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    return endless(target, GET[:-2] + offer + b"\r\n", b"\x82\xff" + b"\x7f" * 8 + b"a" * 60_000)


@attack
def http2_preface(target: Target) -> Outcome:
    return endless(target, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\x04\0\0\0\0\0" * 5000)


def form(target: Target, body: bytes, boundary: str = "b") -> Outcome:
    return post(target, "/v1/datasets", body, **{"Content-Type": f"multipart/form-data; boundary={boundary}"})


@attack
def form_of_many_parts(target: Target) -> Outcome:
    return form(target, b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n' * 200_000 + b"--b--\r\n")


@attack
def form_with_a_header_without_end(target: Target) -> Outcome:
    return form(target, b"--b\r\nX: " + b"x" * 30 * MIB)


@attack
def form_with_a_long_boundary(target: Target) -> Outcome:
    return form(target, b"--" + b"x" * 8000 + b"\r\n", "x" * 8000)


@attack
def parquet_of_one_value(target: Target) -> Outcome:
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    column = pa.DictionaryArray.from_arrays(np.zeros(4 * MIB, np.int32), ["repeated" * 100])
    parquet.write_table(pa.table({"x": column}), file, compression="zstd")
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.parquet"\r\n\r\n'
    name = b'\r\n--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx'
    return form(target, start + file.getvalue() + name + b"\r\n--b--\r\n")


def instances(piece: bytes, megabytes: int = 14) -> bytes:
    return b'{"instances":[' + b",".join([piece] * (megabytes * MIB // (len(piece) + 1))) + b"]}"


def keys(count: int) -> bytes:
    return ",".join(f'"k{i:07d}":0' for i in range(count)).encode()


@attack
def predict_one_key_twice(target: Target) -> Outcome:
    return post(target, PREDICT, b'{"instances":[{' + keys(60_000) + b',"k0059999":0}]}')


@attack
def predict_many_keys(target: Target) -> Outcome:
    return post(target, PREDICT, b'{"instances":[{' + keys(1_000_000) + b"}]}")


@attack
def predict_empty_objects(target: Target) -> Outcome:
    return post(target, PREDICT, instances(b"{}"))


@attack
def predict_empty_lists(target: Target) -> Outcome:
    return post(target, PREDICT, instances(b"[]"))


@attack
def predict_small_integers(target: Target) -> Outcome:
    return post(target, PREDICT, instances(b"1"))


@attack
def predict_rows_at_the_limit(target: Target) -> Outcome:
    rows = b'{"instances":[' + b",".join([b'{"x":1.25}'] * 60_000) + b"]}"
    return post(target, PREDICT, rows)


@attack
def predict_columns(target: Target) -> Outcome:
    return post(target, PREDICT, b'{"inputs":{"x":[' + b",".join([b"{}"] * (5 * MIB)) + b"]}}")


@attack
def predict_inflated(target: Target) -> Outcome:
    return post(target, PREDICT, gzip.compress(instances(b"{}", 30)), **{"Content-Encoding": "gzip"})


@attack
def predict_gzip_of_small_members(target: Target) -> Outcome:
    return post(target, PREDICT, gzip.compress(b"") * 400_000, **{"Content-Encoding": "gzip"})


def job(args: bytes) -> bytes:
    return b'{"type":"train","model":"m","columns":"auto","estimator":{"type":"DNNRegressor","args":' + args + b"}}"


@attack
def job_of_empty_objects(target: Target) -> Outcome:
    return post(target, "/v1/jobs", job(b'{"hidden_units":[' + b",".join([b"{}"] * (5 * MIB)) + b"]}"))


@attack
def job_with_one_key_twice(target: Target) -> Outcome:
    return post(target, "/v1/jobs", job(b"{" + keys(60_000) + b',"k0059999":0}'))


@attack
def job_of_unknown_arguments(target: Target) -> Outcome:
    data = {"train": {"dataset": target.dataset(), "label": "y"}}
    body = job(b"{" + keys(90_000) + b"}")[:-1] + b',"train":{"max_steps":1},"data":' + json.dumps(data).encode() + b"}"
    return post(target, "/v1/jobs", body)


@attack
def job_nested_deep(target: Target) -> Outcome:
    return post(target, "/v1/jobs", job(b"[" * 500_000 + b"]" * 500_000))


@attack
def page_token_made_up(target: Target) -> Outcome:
    return Outcome(False, target.call("GET", "/v1/audit?page_token=WzExODA1OTE2MjA3MTc0MTEzMDM0MjRd")[0])


@attack
def host_of_somebody_else(target: Target) -> Outcome:
    return Outcome(False, target.call("GET", "/healthz", headers={"Host": "127.0.0.1/evil"})[0])


@attack
def upgrade_with_a_request_in_the_body(target: Target) -> Outcome:
    inner = f"GET /v1/tokens HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {target.token}\r\n\r\n".encode()
    head = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(inner)
    with target.connect() as connection:
        connection.sendall(head)
        time.sleep(0.2)
        connection.sendall(inner)
        time.sleep(0.5)
        answers = re.findall(rb"HTTP/1\.1 (\d+)", connection.recv(65536))
    if len(answers) != 1:
        raise SystemExit("the body of a request was taken for another request")
    return Outcome(False, int(answers[0]))


@attack
def predictor_stopped(target: Target) -> Outcome:
    """No client does this: a predictor that hangs, whatever made it."""
    busy = max(target.predictors(), key=lambda process: process.cpu_times().user)
    os.kill(busy.pid, signal.SIGSTOP)
    try:
        return post(target, PREDICT, GOOD)
    finally:
        with suppress(ProcessLookupError):
            os.kill(busy.pid, signal.SIGCONT)
