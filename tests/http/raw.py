"""Raw connections to a server, for tests of what HTTP libraries never send."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.tied import tied
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def connect(address: str, *, timeout_s: float = 60.0) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=timeout_s)


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes; a reset counts as closing."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def read_parts(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of one response with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert found
    while len(body) < int(found[1]):
        piece = connection.recv(65536)
        assert piece, data
        body += piece
    assert len(body) == int(found[1])
    return head, body


def read_response(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of one response with a Content-Length."""
    head, body = read_parts(connection)
    return int(head.split(b" ")[1]), body


def read_next_body(connection: socket.socket) -> bytes:
    """The body of the next response with a Content-Length, and not a byte of the one after it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = b""
    while len(body) < size:
        body += connection.recv(size - len(body))
    return body


def statuses(data: bytes) -> list[int]:
    return [int(status) for status in STATUS.findall(data)]


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed it, without waiting; what it sent before is dropped."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that tells what it was asked: method, path, headers, body and its size."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    parts, more = [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(parts)
    headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
    told = {"method": scope["method"], "path": scope["path"], "headers": headers, "size": len(body)}
    answer = json.dumps({**told, "body": body[:200].decode("latin-1")}).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": answer})


@contextmanager
def api_process(data_dir: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The API as a process of its own, without predictors unless told; and its address."""
    port = free_port()
    own = {"DATA_DIR": str(data_dir), "DATABASE_URL": "", "REDIS_URL": "", "ARTIFACTS_URL": "", "PREDICTOR": "none"}
    variables = {**os.environ, **own, "PORT": str(port), **environment}
    address = f"http://127.0.0.1:{port}"
    with (data_dir / "api.log").open("wb") as log:
        started = tied([sys.executable, "-m", "app.main"])
        process = subprocess.Popen(started, cwd=ROOT, env=variables, stdout=log, stderr=log)
        try:
            wait_for(lambda: _is_ready(address))
            yield process, address
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_ready(address: str) -> bool:
    try:
        with connect(address) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return statuses(read_all(connection)) == [200]
    except OSError:
        return False
