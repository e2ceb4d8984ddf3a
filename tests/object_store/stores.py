"""Object stores for tests: moto's server and Azurite, and a proxy before them that has faults."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from app.object_store.bucket import Bucket
from app.object_store.cache import Cache
from app.object_store.object_storage import ObjectStorage
from tests.object_store import azurite
from tests.ports import free_port
from tests.tied import tied
from tests.waiting import wait_for

BUCKET = "artifacts"
KINDS = ["s3"] if azurite.MISSING else ["s3", "az"]
"""Schemes of the stores that there are here."""


def environment(endpoint: str, kind: str = "s3") -> dict[str, str]:
    """By which clients find the store."""
    if kind == "az":
        return azurite.environment(endpoint)
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
    }


@contextlib.contextmanager
def store(kind: str = "s3") -> Iterator[str]:
    """The address of a store with a bucket: Azurite's; of an S3 that of `TEST_S3_ENDPOINT`, else moto's."""
    if kind == "az":
        with azurite.started(BUCKET) as endpoint:
            yield endpoint
        return
    given = os.environ.get("TEST_S3_ENDPOINT")
    if given:
        with contextlib.suppress(OSError):
            _make_bucket(given)
        yield given
        return
    with moto() as endpoint:
        yield endpoint


def _make_bucket(endpoint: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")):
        pass


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """The address of moto's S3 with an empty bucket."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(
        tied(command),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment(endpoint), "PYTHONWARNINGS": "ignore"},
    ) as process:
        try:
            wait_for(lambda: process.poll() is not None or _answers(f"{endpoint}/moto-api/"))
            _make_bucket(endpoint)
            yield endpoint
        finally:
            process.kill()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


class FaultProxy:
    """Stands before a store. `fault` is one of: none; `down`: connections end without an answer; `500`; `slow`: an
    answer takes `delay_s`; `overwrites`: a write whose condition did not hold is answered as
    if it had been done; `deaf`: the next write to a path with
    `deaf_to` in it is done, and its answer lost. `seen`: method and path of each request."""

    def __init__(self, endpoint: str) -> None:
        self.fault, self.delay_s, self.deaf_to = "", 0.0, ""
        self.seen: list[tuple[str, str]] = []
        self._waiting = threading.Event()
        host, _, path = endpoint.removeprefix("http://").partition("/")
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.seen.append((self.command, self.path))
                if proxy.fault == "down":
                    self.close_connection = True
                    return
                if proxy.fault == "slow":
                    proxy._waiting.wait(proxy.delay_s)
                if proxy.fault == "500":
                    self._answer(500, {}, b"<Error><Code>InternalError</Code></Error>")
                    return
                connection = http.client.HTTPConnection(host, timeout=30)
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                if proxy.fault == "deaf" and self.command == "PUT" and proxy.deaf_to in self.path:
                    proxy.fault = ""
                    self.close_connection = True
                    return
                if proxy.fault == "overwrites" and answer.status in (409, 412):
                    self._answer(201, {"ETag": '"1"'}, b"")
                    return
                with contextlib.suppress(OSError):  # who asked does not wait any more
                    self._answer(answer.status, dict(answer.getheaders()), content)

            def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                        self.send_header(name, value)
                written = {name.lower(): value for name, value in headers.items()}
                length = written.get("content-length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="faults", daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}/{path}".rstrip("/")

    def break_down(self, fault: str, *, delay_s: float = 0.0) -> None:
        self._waiting.clear()
        self.fault, self.delay_s = fault, delay_s

    def mend(self) -> None:
        self.fault = ""
        self._waiting.set()

    def requests(self, method: str, part: str) -> int:
        """How many there were of a method whose path contains a text."""
        return sum(1 for seen, path in self.seen if seen == method and part in path)

    def close(self) -> None:
        self.mend()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Hosts:
    """Hosts that share a bucket below a prefix of their own, each with its own cache."""

    def __init__(self, directory: Path, kind: str = "s3") -> None:
        self.directory, self.kind = directory, kind
        self.url = f"{kind}://{BUCKET}/{os.urandom(8).hex()}"

    def storage(
        self,
        host: str = "one",
        *,
        budget: int = 2**30,
        grace_s: float = 3600.0,
        patience_s: float = 5.0,
        request_s: float = 30.0,
    ) -> ObjectStorage:
        cache = Cache(self.directory / host, budget=budget, grace_s=grace_s)
        return ObjectStorage(Bucket(self.url, patience_s=patience_s, request_s=request_s), cache)
