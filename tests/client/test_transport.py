"""The client against a server that is busy, breaks connections, or is not the service."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from estimator_client import ApiError, AsyncClient, Client, Unreachable

Answer = tuple[int, dict[str, str], bytes]


class Server(ThreadingHTTPServer):
    """Gives the answers of a list, one per request; None breaks the connection. Remembers the requests."""

    def __init__(self, answers: list[Answer | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        answer = self.server.answers.pop(0)
        if answer is None:
            self.close_connection = True
            return
        status, headers, content = answer
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_PUT = _answer

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    running: list[tuple[Server, threading.Thread]] = []

    def start(*answers: Answer | None) -> Server:
        server = Server(list(answers))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def ok(body: Any) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def busy(status: int = 503, retry_after: str = "0") -> Answer:
    problem = {"title": "Unavailable", "detail": "Not now."}
    return status, {"Retry-After": retry_after}, json.dumps(problem).encode()


JOB = {"id": "job_1", "state": "QUEUED", "warnings": []}


def test_a_busy_service_is_asked_again(serve: Callable[..., Server]) -> None:
    server = serve(busy(503), busy(429), ok({"predictions": [1]}))

    with Client(server.address, "token") as client:
        assert client.predict("penguins", [{}]) == [1]

    assert len(server.seen) == 3


def test_a_submitted_job_keeps_its_key_over_lost_connections(serve: Callable[..., Server]) -> None:
    server = serve(None, ok(JOB))

    with Client(server.address, "token") as client:
        client.submit({"type": "train"})

    first, second = [headers["Idempotency-Key"] for _, _, headers, _ in server.seen]
    assert first == second


def test_two_jobs_have_two_keys(serve: Callable[..., Server]) -> None:
    server = serve(ok(JOB), ok(JOB))

    with Client(server.address, "token") as client:
        client.submit({})
        client.submit({})

    assert len({headers["Idempotency-Key"] for _, _, headers, _ in server.seen}) == 2


def test_an_upload_is_sent_whole_in_each_attempt(serve: Callable[..., Server], tmp_path: Any) -> None:
    server = serve(busy(), ok({"id": "ds_1"}))
    file = tmp_path / "a.csv"
    file.write_bytes(b"x,y\n1,2\n")

    with Client(server.address, "token") as client:
        client.upload(file)

    assert all(b"x,y\n1,2\n" in body for *_, body in server.seen)


def test_a_request_that_may_have_been_carried_out_is_not_repeated(serve: Callable[..., Server]) -> None:
    server = serve(None)

    with Client(server.address, "token") as client, pytest.raises(Unreachable):
        client.retry("job_1")

    assert len(server.seen) == 1


def test_patience_ends_with_the_last_answer(serve: Callable[..., Server]) -> None:
    server = serve(busy(503, "100"))

    with Client(server.address, "token", patience_s=1) as client, pytest.raises(ApiError) as refused:
        client.model("penguins")

    assert (refused.value.status, refused.value.retry_after_s) == (503, 100)


def test_an_answer_of_something_else_is_told(serve: Callable[..., Server]) -> None:
    server = serve((404, {}, b"<html>"))

    with Client(server.address, "token") as client, pytest.raises(ApiError, match="not one of this service"):
        client.model("penguins")


def test_pages_are_asked_for_as_they_are_needed(serve: Callable[..., Server]) -> None:
    page = {"models": [{"name": "a"}, {"name": "b"}], "next_page_token": "t"}
    server = serve(ok(page), ok({"models": [{"name": "c"}], "next_page_token": None}))

    with Client(server.address, "token") as client:
        models = client.models()
        assert [next(models)["name"], next(models)["name"]] == ["a", "b"]
        assert len(server.seen) == 1
        assert [model["name"] for model in models] == ["c"]

    assert server.seen[1][1] == "/v1/models?page_token=t"


def test_many_rows_go_in_several_requests_and_come_in_order(serve: Callable[..., Server]) -> None:
    server = serve(ok({"predictions": [0, 1]}), ok({"predictions": [2]}))

    with Client(server.address, "token") as client:
        assert client.predict("m", iter([{}, {}, {}]), batch_size=2, label="best") == [0, 1, 2]

    assert [path for _, path, _, _ in server.seen] == ["/v1/models/m/labels/best:predict"] * 2


def test_a_download_is_written_as_it_comes(serve: Callable[..., Server]) -> None:
    server = serve((200, {}, b"x" * 1000))
    file = io.BytesIO()

    with Client(server.address, "token") as client:
        client.download_export("m", 3, file)

    assert file.getvalue() == b"x" * 1000
    assert server.seen[0][1] == "/v1/models/m/versions/3/saved_model"


def test_the_asynchronous_client_does_the_same(serve: Callable[..., Server]) -> None:
    server = serve(busy(), None, ok(JOB), ok({"jobs": [JOB, JOB], "next_page_token": None}))

    async def go() -> list[str]:
        async with AsyncClient(server.address, "token") as client:
            job = await client.submit({"type": "train"})
            return [job.id, *[one.state async for one in client.jobs(state="QUEUED")]]

    assert asyncio.run(go()) == ["job_1", "QUEUED", "QUEUED"]
    assert server.seen[-1][1] == "/v1/jobs?state=QUEUED"


def test_a_version_and_a_label_together_are_refused() -> None:
    with Client("http://127.0.0.1:9", "token") as client, pytest.raises(ValueError, match="not both"):
        client.predict("m", [{}], version=1, label="latest")
