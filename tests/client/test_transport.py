"""The client against a server that is busy, breaks connections, or is not the service."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from estimator_client import ApiError, AsyncClient, Client, Unreachable
from estimator_client.authorities import authorities

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


def test_a_direct_upload_goes_to_the_store_without_the_token(serve: Callable[..., Server], tmp_path: Any) -> None:
    store = serve(busy(), (200, {}, b""))
    server = serve(ok({"id": "upl_1", "address": f"{store.address}/put?signed=1"}), ok({"id": "ds_1"}))
    file = tmp_path / "a.csv"
    file.write_bytes(b"x,y\n1,2\n")

    with Client(server.address, "token") as client:
        assert client.upload(file, name="mine", direct=True) == {"id": "ds_1"}

    assert [(method, path, body) for method, path, _, body in store.seen] == [
        ("PUT", "/put?signed=1", b"x,y\n1,2\n")
    ] * 2
    assert all("Authorization" not in headers for _, _, headers, _ in store.seen)
    form = server.seen[1][3]
    assert b'name="upload"\r\n\r\nupl_1\r\n' in form
    assert b'name="filename"\r\n\r\na.csv\r\n' in form
    assert b'name="name"\r\n\r\nmine\r\n' in form
    assert b"1,2" not in form


def test_an_asynchronous_direct_upload_does_the_same_and_tells_a_refusal(serve: Callable[..., Server]) -> None:
    store = serve((200, {}, b""), (403, {}, b"<Error/>"))
    made = ok({"id": "upl_1", "address": f"{store.address}/put"})
    server = serve(made, ok({"id": "ds_1"}), made)

    async def go() -> None:
        async with AsyncClient(server.address, "token") as client:
            assert await client.upload({"x": [1, None]}, direct=True) == {"id": "ds_1"}
            with pytest.raises(ApiError, match="object store did not take"):
                await client.upload({"x": [1]}, direct=True)

    asyncio.run(go())
    assert store.seen[0][3] == b'{"x": 1}\n{"x": null}\n'
    assert len(server.seen) == 3


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
    server = serve(busy(), (200, {}, b"x" * 1000))
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


def test_unknown_columns_are_left_out_when_that_is_asked(serve: Callable[..., Server]) -> None:
    server = serve(ok({"predictions": [0]}), ok({"outputs": [0]}))

    with Client(server.address, "token") as client:
        client.predict("m", [{}], ignore_unknown=True)
        client.predict_columns("m", {"x": [1]}, ignore_unknown=True)

    assert [json.loads(body)["ignore_unknown"] for *_, body in server.seen] == [True, True]


def test_the_whole_answer_has_what_was_asked_for(serve: Callable[..., Server]) -> None:
    answer = {"predictions": [0], "ids": ["pred_1.0"], "warnings": []}
    server = serve(ok(answer), ok({"results": [[["a", 1.0]]]}), ok({"results": [0.5]}))

    with Client(server.address, "token") as client:
        assert client.predict_answer("m", {"x": [1]}, ids=True, warnings=True, key="me") == answer
        assert client.classify("m", [{"x": 1}], version=2) == [[["a", 1.0]]]
        assert client.regress("m", [{"x": 1}]) == [0.5]

    assert [path for _, path, *_ in server.seen] == [
        "/v1/models/m:predict?ids=true",
        "/v1/models/m/versions/2:classify",
        "/v1/models/m:regress",
    ]
    assert json.loads(server.seen[0][3]) == {"instances": [{"x": 1}], "warnings": True}
    assert json.loads(server.seen[1][3]) == {"examples": [{"x": 1}]}
    assert {name.lower(): value for name, value in server.seen[0][2].items()}["x-request-key"] == "me"


def test_a_version_and_a_label_together_are_refused() -> None:
    with Client("http://127.0.0.1:9", "token") as client, pytest.raises(ValueError, match="not both"):
        client.predict("m", [{}], version=1, label="latest")


def test_certificates_are_checked_by_the_known_authorities_and_by_none_where_nothing_is_encrypted() -> None:
    known, none = authorities("https://service.example:8443/"), authorities("HTTP://127.0.0.1:8000")
    for context in (known, none):
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert known.cert_store_stats()["x509_ca"] > 50
    assert none.cert_store_stats()["x509_ca"] == 0
    assert authorities("https://another.example") is known
