"""Who may enter, with how much."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.config import Settings
from app.http.admission import AdmissionMiddleware
from app.http.auth import PUBLIC_PATHS, STATIC_PATHS, TokenInfo
from tests.api.conftest import served

TOKENS = {
    "reader": TokenInfo("tok_1", "reader", frozenset({"read"})),
    "boss": TokenInfo("tok_2", "boss", frozenset({"admin"})),
    "sender": TokenInfo("tok_3", "sender", frozenset({"submit"})),
    "asker": TokenInfo("tok_4", "asker", frozenset({"predict"})),
}
LIMIT = 10_000
HEAD = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer boss\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what came through the admission layer."""
    size, pieces, more = 0, 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        pieces += 1
        more = message.get("more_body", False)
        if scope["method"] == "GET":
            break
    told = {"size": size, "pieces": pieces, "token": getattr(scope["state"].get("token"), "name", None)}
    body = json.dumps(told).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


Refusal = tuple[str | None, str, str, str]


@pytest.fixture(scope="module")
def admission() -> Iterator[tuple[str, list[Refusal]]]:
    """Address of the admission layer before `echo`, and the refusals it told of."""
    refusals: list[Refusal] = []

    async def authenticate(secret: str) -> TokenInfo | None:
        return TOKENS.get(secret)

    def refused(token: TokenInfo | None, method: str, path: str, why: str) -> None:
        refusals.append((token.name if token else None, method, path, why))

    settings = Settings(
        host="127.0.0.1",
        allowed_hosts="estimators.example",
        allowed_origins="https://board.example",
        max_body_bytes=LIMIT,
        max_upload_bytes=50 * LIMIT,
        body_timeout_s=0.6,
        rate_per_s=1000,
    )
    with served(AdmissionMiddleware(echo, settings, authenticate, refused=refused)) as address:
        yield address, refusals


@pytest.fixture
def refusals(admission: tuple[str, list[Refusal]]) -> list[Refusal]:
    admission[1].clear()
    return admission[1]


@pytest.fixture
def http(admission: tuple[str, list[Refusal]]) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer boss"}
    with httpx.Client(base_url=admission[0], headers=headers, trust_env=False, timeout=60) as client:
        yield client


def raw(http: httpx.Client, *parts: bytes, pause_s: float = 0.0, wait_s: float = 60.0) -> bytes:
    """Sends bytes as they are, with a pause after each part, and reads until the server closes."""
    address = urlsplit(str(http.base_url))
    assert address.hostname
    assert address.port
    with socket.create_connection((address.hostname, address.port), timeout=wait_s) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:
                break
            time.sleep(pause_s)
        received = b""
        try:
            while data := connection.recv(65536):
                received += data
        except ConnectionResetError:
            pass
    return received


def test_without_token_everything_is_401_but_the_public_paths(http: httpx.Client) -> None:
    del http.headers["Authorization"]
    for method, path in [("GET", "/v1/jobs"), ("POST", "/v1/models/m:predict"), ("GET", "/nowhere"), ("PUT", "/docs")]:
        answer = http.request(method, path)
        assert answer.status_code == 401, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for path in PUBLIC_PATHS:
        assert http.get(path).status_code == 200, path


def test_public_paths_are_these_and_no_others() -> None:
    health = {"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}
    assert {"/", "/docs", "/redoc", "/openapi.json"} | health | set(STATIC_PATHS) == PUBLIC_PATHS
    assert all(path.startswith("/static/") and ".." not in path for path in STATIC_PATHS)


@pytest.mark.parametrize(
    "header",
    ["Bearer wrong", "Basic boss", "Bearer", "boss", "Bearer bos", "Bearer boss\u00e9", "Bearer boss x"],
)
def test_wrong_token_is_401(http: httpx.Client, header: str) -> None:
    assert http.get("/v1/jobs", headers={"Authorization": header.encode("utf-8")}).status_code == 401


@pytest.mark.parametrize(
    ("token", "method", "path", "status"),
    [
        ("reader", "GET", "/v1/jobs", 200),
        ("reader", "POST", "/v1/jobs", 403),
        ("reader", "POST", "/v1/models/m:predict", 403),
        ("reader", "GET", "/v1/tokens", 403),
        ("sender", "POST", "/v1/jobs", 200),
        ("sender", "PUT", "/v1/models/m/labels/latest", 200),
        ("sender", "DELETE", "/v1/datasets/x", 200),
        ("sender", "POST", "/v1/tokens", 403),
        ("sender", "POST", "/v1/drain", 403),
        ("reader", "GET", "/v1/audit", 403),
        ("asker", "POST", "/v1/models/m/versions/1:classify", 200),
        ("asker", "GET", "/v1/models/m", 403),
        ("boss", "POST", "/v1/tokens", 200),
        ("boss", "POST", "/v1/models/m:regress", 200),
    ],
)
def test_scope_decides(http: httpx.Client, token: str, method: str, path: str, status: int) -> None:
    assert http.request(method, path, headers={"Authorization": f"Bearer {token}"}).status_code == status


def test_refusals_are_told_to_the_audit(http: httpx.Client, refusals: list[Any]) -> None:
    http.get("/v1/jobs", headers={"Authorization": "Bearer wrong"})
    http.post("/v1/jobs", headers={"Authorization": "Bearer reader"})

    assert [refusal[:3] for refusal in refusals] == [(None, "GET", "/v1/jobs"), ("reader", "POST", "/v1/jobs")]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:80", 200),
        ("estimators.example", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("evil.example@localhost", 421),
        ("[", 421),
        ("127.0.0.1/evil", 421),
        ("127.0.0.1?evil", 421),
        ("127.0.0.1#evil", 421),
        ("127.0.0.1\\evil", 421),
        ("localhost:80:80", 421),
        ("localhost.", 421),
        ("[::1]evil", 421),
        ("", 421),
    ],
)
def test_host_is_checked(http: httpx.Client, host: str, status: int) -> None:
    assert http.get("/v1/jobs", headers={"Host": host}).status_code == status
    assert http.get("/healthz", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("null", 403), ("https://board.example", 200)]
)
def test_origin_is_checked(http: httpx.Client, origin: str, status: int) -> None:
    answer = http.get("/v1/jobs", headers={"Origin": origin})

    assert answer.status_code == status
    assert answer.headers.get("access-control-allow-origin") == (origin if status == 200 else None)


def test_own_pages_may_call(http: httpx.Client) -> None:
    assert http.get("/v1/jobs", headers={"Origin": str(http.base_url).rstrip("/")}).status_code == 200


def test_preflight_is_answered_for_allowed_origins_only(http: httpx.Client) -> None:
    asked = {"Access-Control-Request-Method": "POST"}
    del http.headers["Authorization"]

    assert http.options("/v1/jobs", headers={"Origin": "https://board.example", **asked}).status_code == 204
    assert http.options("/v1/jobs", headers={"Origin": "https://evil.example", **asked}).status_code == 403


def test_body_comes_whole_and_over_the_limit_is_413(http: httpx.Client) -> None:
    assert http.post("/v1/jobs", content=b"x" * LIMIT).json() == {"size": LIMIT, "pieces": 1, "token": "boss"}

    refused = http.post("/v1/jobs", content=b"x" * (LIMIT + 1))

    assert refused.status_code == 413
    assert str(LIMIT) in refused.json()["detail"]


def test_large_content_length_is_refused_before_the_body(http: httpx.Client) -> None:
    head = HEAD + b"Content-Length: 99999999999\r\n\r\n"

    answer = raw(http, head)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


def test_endless_chunked_body_is_413(http: httpx.Client) -> None:
    head = (
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer boss\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    answer = raw(http, head, *[b"800\r\n" + b"x" * 0x800 + b"\r\n"] * 20)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_slow_body_is_408_and_others_are_served_meanwhile(http: httpx.Client) -> None:
    # a byte each 0.3 s, three in all, of the 100 that were promised, with 0.6 s to send them
    head = HEAD + b"Content-Length: 100\r\n\r\n"

    answer = raw(http, head, b"x", b"x", b"x", pause_s=0.3)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert http.get("/healthz").status_code == 200


def test_gzip_is_inflated_within_the_limit(http: httpx.Client) -> None:
    headers = {"Content-Encoding": "gzip"}

    assert http.post("/v1/jobs", content=gzip.compress(b"x" * LIMIT), headers=headers).json()["size"] == LIMIT
    bomb = gzip.compress(b"x" * 8_000_000)
    assert len(bomb) < LIMIT
    refused = http.post("/v1/jobs", content=bomb, headers=headers)
    assert refused.status_code == 413
    assert "decompression" in refused.json()["detail"]


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b"x" * 100)[:-9], b""])
def test_broken_gzip_is_422(http: httpx.Client, body: bytes) -> None:
    sent = http.post("/v1/jobs", content=iter([body]), headers={"Content-Encoding": "gzip"})

    assert sent.status_code == 422


def test_other_encodings_are_415(http: httpx.Client) -> None:
    assert http.post("/v1/jobs", content=b"x", headers={"Content-Encoding": "br"}).status_code == 415


def test_upload_is_streamed(http: httpx.Client) -> None:
    answer = http.post("/v1/datasets", content=iter([b"x" * 65_536] * 6))

    assert answer.json()["size"] == 6 * 65_536
    assert answer.json()["pieces"] > 2


def test_doubled_header_is_422(http: httpx.Client) -> None:
    head = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer boss\r\nAuthorization: Bearer no\r\n\r\n"

    assert raw(http, head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")).startswith(b"HTTP/1.1 422 ")


def test_request_id_is_taken_when_harmless(http: httpx.Client) -> None:
    assert http.get("/healthz", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = http.get("/healthz", headers={"X-Request-ID": "<script>"}).headers["x-request-id"]
    assert made.startswith("req_")


def test_rate_over_the_limit_is_429_with_retry_after(settings: Settings) -> None:
    from app.errors import Overloaded
    from app.http.rate_limit import Accounts, TokenLimits

    accounts = Accounts(TokenLimits(requests_per_s=2.0, requests_burst=3))
    for _ in range(3):
        accounts.take_request(accounts.for_token("tok_1"))
    with pytest.raises(Overloaded) as refused:
        accounts.take_request(accounts.for_token("tok_1"))
    # an empty bucket that gets 2 a second has one after half a second
    assert refused.value.retry_after_s == pytest.approx(0.5, abs=0.1)
    accounts.take_request(accounts.for_token("tok_2"))


def test_error_is_a_500_that_says_nothing(settings: Settings) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("the password is 1234")

    async def authenticate(secret: str) -> TokenInfo:
        return TOKENS["boss"]

    with served(AdmissionMiddleware(broken, settings, authenticate)) as address:
        answer = httpx.get(f"{address}/v1/jobs", headers={"Authorization": "Bearer x"}, trust_env=False)

    assert answer.status_code == 500
    assert "1234" not in answer.text
    assert answer.json()["title"] == "Internal error"
