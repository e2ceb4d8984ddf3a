"""Request heads are bounded, connections end in time, and an offer to upgrade changes nothing."""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.http.connection import MAX_HEADERS
from app.http.connections import ConnectionLimits
from app.http.response_transport import ResponseTransport
from tests.api.conftest import served
from tests.http.raw import api_process, connect, echo, is_closed, read_all, read_next_body, read_response, statuses
from tests.waiting import wait_for

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
UNFINISHED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
"""A request whose body never comes; the first bytes of the answer say that it is under way."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(echo, limits=ConnectionLimits(head_s=120, idle_s=120, stalled_s=120, flush_s=0.5)) as url:
        yield url


@pytest.fixture(scope="module")
def impatient() -> Iterator[str]:
    """Address of a server whose connections may be idle for 0.3 s, and take 0.6 s for a request head."""
    with served(echo, limits=ConnectionLimits(head_s=0.6, idle_s=0.3, stalled_s=1.0, flush_s=0.5)) as url:
        yield url


def exchange(address: str, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """All that the server sends until it closes."""
    with connect(address) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:
                break
            time.sleep(pause_s)
        return read_all(connection)


@pytest.mark.parametrize(
    ("start", "endless", "status"),
    [
        (b"GET /", b"a" * 65536, 414),
        (b"GET /?page_token=", b"a" * 65536, 414),
        (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 10_000, 431),
        (b"GET / HTTP/1.1\r\nX-A: ", b"a" * 65536, 431),
        (b"GET / HTTP/1.1\r\n", b"X" * 65536, 431),
        (b"GET / HTTP/1.1\r\nX: " + b" " * 100, b" " * 65536, 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nCookie: ", b"a; " * 20_000, 431),
    ],
)
def test_endless_head_is_refused_and_its_connection_closed(
    address: str, start: bytes, endless: bytes, status: int
) -> None:
    with connect(address) as connection:
        connection.sendall(start)
        sent = 0
        try:
            while sent < 64 * 2**20:
                connection.sendall(endless)
                sent += len(endless)
        except OSError:
            pass
        assert sent < 64 * 2**20  # the server closed long before the end
        connection.close()
    assert statuses(exchange(address, start + endless[:50_000])) == [status]


def test_head_at_its_limits_is_taken_and_one_header_more_is_not(address: str) -> None:
    for count, expected in ((MAX_HEADERS, [200]), (MAX_HEADERS + 1, [431])):
        head = b"".join(b"X-%d: a\r\n" % i for i in range(count - 1)) + b"Connection: close\r\n"
        assert statuses(exchange(address, b"GET / HTTP/1.1\r\n" + head + b"\r\n")) == expected


def test_long_header_in_pieces_of_one_byte_is_refused(address: str) -> None:
    with connect(address) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 36_000)
        try:
            for _ in range(2000):
                connection.sendall(b"a")
        except OSError:
            pass
        assert statuses(read_all(connection)) in ([431], [])


def test_responses_before_a_refused_head_come_first(address: str) -> None:
    assert statuses(exchange(address, GET + GET + b"GET /" + b"a" * 20_000)) == [200, 200, 414]
    assert statuses(exchange(address, GET + b"no HTTP at all\r\n\r\n")) == [200, 400]


def test_endless_trailers_and_chunk_extensions_are_cut_off(address: str) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    for start, endless in (
        (b"1\r\nx\r\n0\r\n", b"a: b\r\n" * 10_000),
        (b"1;a=", b"b" * 65536),
        (b"0\r\nX: ", b"b" * 65536),
    ):
        with connect(address) as connection:
            connection.sendall(head + start)
            with pytest.raises(OSError):
                for _ in range(1000):
                    connection.sendall(endless)


def test_trailers_change_no_header(address: str) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(address) as connection:
        connection.sendall(head + b"1\r\nx\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
        assert "authorization" not in json.loads(read_response(connection)[1])["headers"]


@pytest.mark.parametrize("first", [b"", b"\r\n", b"\r\n" * 1000, b"GET", b"GET / HTTP/1.1\r\nHost: loc"])
def test_connection_without_a_request_ends(impatient: str, first: bytes) -> None:
    assert exchange(impatient, first) == b""


@pytest.mark.parametrize("then", [b"", b"\r\n", b"\r\n\r\n\r\n", b"G", b"GET / HTTP/1.1\r\n"])
def test_connection_that_had_a_response_ends(impatient: str, then: bytes) -> None:
    with connect(impatient) as connection:
        connection.sendall(GET)
        assert read_response(connection)[0] == 200
        with suppress(OSError):  # the server may already have ended it
            connection.sendall(then)
        assert read_all(connection) == b""


def test_line_breaks_now_and_then_keep_no_connection_open(impatient: str) -> None:
    with connect(impatient) as connection:
        connection.sendall(GET)
        read_response(connection)
        started = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - started < 60:
                connection.sendall(b"\r\n")
                time.sleep(0.05)


LARGE_BYTES = 64 * 2**20


async def large_or_echo(scope: Any, receive: Any, send: Any) -> None:
    """More than the system takes for a client that does not read, below `/large`."""
    if scope.get("path") != "/large":
        await echo(scope, receive, send)
        return
    headers = [(b"content-length", b"%d" % LARGE_BYTES)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(LARGE_BYTES)})


def test_client_that_reads_nothing_is_cut_off() -> None:
    limits = ConnectionLimits(idle_s=0.2, stalled_s=0.5, flush_s=0.2)
    with served(large_or_echo, limits=limits) as url, connect(url) as connection:
        connection.sendall(GET.replace(b"/healthz", b"/large"))
        connection.recv(1000)
        own = connection.getsockname()
        wait_for(lambda: own not in peers(), "the server to give up a client that reads nothing")
        received = len(read_all(connection))
    assert received < LARGE_BYTES


def peers() -> list[tuple[str, int]]:
    """The other ends of this process's connections."""
    return [tuple(found.raddr) for found in psutil.Process().net_connections("tcp") if found.raddr]


def test_pipelined_requests_are_answered_in_order_whatever_their_number(address: str) -> None:
    count = 3000
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(count))
    with connect(address) as connection:
        connection.sendall(requests + b"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n")
        data = read_all(connection)
    assert statuses(data) == [200] * (count + 1)
    positions = [data.index(b'"path": "/%d"' % i) for i in (0, 1, 100, count - 1)]
    assert positions == sorted(positions)


def test_bodies_among_pipelined_requests_stay_whole(address: str) -> None:
    body = b"b" * 100_000
    post = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with connect(address) as connection:
        connection.sendall((post + body + GET) * 5)
        sizes = [json.loads(read_next_body(connection))["size"] for _ in range(10)]
    assert sizes == [100_000, 0] * 5


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"


OFFERS = [
    H2C,
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Upgrade: x\r\nConnection: keep-alive, Upgrade\r\n",
]


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("split", [False, True])
def test_offer_to_upgrade_changes_nothing(address: str, offer: bytes, split: bool) -> None:
    inner = b"GET /inner HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /outer HTTP/1.1\r\nHost: x\r\n" + offer + b"Content-Length: %d\r\nX-A: 1\r\n\r\n" % len(inner)
    with connect(address) as connection:
        for _ in range(2):  # the connection stays in step
            if split:
                connection.sendall(head)
                time.sleep(0.05)
                connection.sendall(inner)
            else:
                connection.sendall(head + inner)
            told = json.loads(read_response(connection)[1])
            assert (told["path"], told["body"].encode()) == ("/outer", inner)
            assert told["headers"]["x-a"] == "1"
            assert not {"upgrade", "http2-settings"} & told["headers"].keys()
        connection.sendall(GET)
        assert json.loads(read_response(connection)[1])["path"] == "/healthz"


def test_offer_to_upgrade_with_a_chunked_body_changes_nothing(address: str) -> None:
    head = b"POST /outer HTTP/1.1\r\nHost: x\r\n" + H2C + b"Transfer-Encoding: chunked\r\n\r\n"
    with connect(address) as connection:
        connection.sendall(head + b"5\r\nhello\r\n0\r\n\r\n" + GET)
        assert json.loads(read_next_body(connection))["body"] == "hello"
        assert json.loads(read_next_body(connection))["path"] == "/healthz"


def test_connect_is_refused_and_what_follows_is_no_request(address: str) -> None:
    assert statuses(exchange(address, b"CONNECT a:22 HTTP/1.1\r\nHost: a\r\n\r\n" + GET)) == [501]


def test_broken_body_ends_its_request(address: str) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert statuses(exchange(address, head + b"fffffffffffffffff\r\n" + GET)) == [400]


def test_client_over_the_cap_takes_the_place_of_the_one_that_waits_longest() -> None:
    limits = ConnectionLimits(total=4, per_address=4, idle_s=60, head_s=60)
    with served(echo, limits=limits) as url:
        idle = []
        for _ in range(4):
            connection = connect(url)
            connection.sendall(GET)
            assert read_response(connection)[0] == 200
            idle.append(connection)
        with connect(url) as another:
            another.sendall(GET)
            assert read_response(another)[0] == 200
        wait_for(lambda: is_closed(idle[0]))
        assert not any(is_closed(connection) for connection in idle[1:])
        for connection in idle:
            connection.close()


def test_place_that_was_made_for_an_address_counts_for_all() -> None:
    limits = ConnectionLimits(total=2, per_address=2, idle_s=60)
    with served(of_a_token, limits=limits) as url, connect(url) as busy, connect(url) as idle:
        busy.sendall(UNFINISHED)
        assert b" 100 " in busy.recv(1000)
        idle.sendall(GET)
        assert read_response(idle)[0] == 200
        with connect(url) as another:
            another.sendall(GET.replace(b"/healthz", b"/v1/jobs"))
            assert read_response(another)[0] == 200
        assert not is_closed(busy)


async def of_a_token(scope: Any, receive: Any, send: Any) -> None:
    """As `echo`, once admission has found the request's token."""
    scope["state"]["token"] = "good"
    await echo(scope, receive, send)


@pytest.mark.parametrize("held", [UNFINISHED, GET + UNFINISHED, GET.replace(b"/healthz", b"/large") * 3])
def test_client_without_a_token_keeps_no_place_by_sending_or_reading_no_more(held: bytes) -> None:
    """A body that does not come, also behind a whole request; answers that are not read."""
    limits = ConnectionLimits(total=2, per_address=2, idle_s=60, stalled_s=60)
    with ExitStack() as stack:
        url = stack.enter_context(served(large_or_echo, limits=limits))
        for _ in range(2):
            holder = stack.enter_context(connect(url))
            holder.sendall(held)
            answered = b""
            while (b" 100 " if held.endswith(UNFINISHED) else b" 200 ") not in answered:
                answered += holder.recv(1000)
        another = stack.enter_context(connect(url))
        another.sendall(GET.replace(b"/healthz", b"/v1/jobs"))
        assert read_response(another)[0] == 200


def test_full_server_answers_503_but_still_probes() -> None:
    limits = ConnectionLimits(total=2, per_address=2)
    with ExitStack() as stack:
        url = stack.enter_context(served(of_a_token, limits=limits))
        for _ in range(2):  # requests whose bodies never come
            connection = stack.enter_context(connect(url))
            connection.sendall(UNFINISHED)
            assert b" 100 " in connection.recv(1000)
        assert statuses(exchange(url, GET)) == [200]
        refused = exchange(url, GET.replace(b"/healthz", b"/v1/jobs"))
        assert statuses(refused) == [503]

        def reserve_is_taken() -> bool:
            stack.enter_context(connect(url))  # one more that sends nothing; those before may have ended meanwhile
            return b"retry-after: 1" in exchange(url, GET)

        wait_for(reserve_is_taken)


def test_process_without_descriptors_serves_new_clients_and_accepts_for_ever(tmp_path: Path) -> None:
    with api_process(tmp_path) as (process, url), ExitStack() as stack:
        descriptors = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (descriptors + 60, hard))
        hoard = [stack.enter_context(connect(url)) for _ in range(100)]
        for connection in hoard:
            with suppress(OSError):
                connection.sendall(GET)
                connection.recv(1000)
                connection.sendall(b"\r\n")
        for _ in range(20):
            with connect(url) as another:
                another.sendall(GET)
                assert read_response(another)[0] == 200
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (descriptors - 5, hard))  # not one is left
        with suppress(OSError):
            for _ in range(20):
                stack.enter_context(connect(url, timeout_s=0.2)).sendall(GET)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (hard, hard))
        wait_for(lambda: statuses(exchange(url, GET.replace(b"Host", b"Connection: close\r\nHost"))) == [200])


class Wire:
    """Stands for a transport; remembers what was written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.later: list[Callable[[], None]] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.written.append(b"closed")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([b"head", b"body", "turn"], [b"headbody"]),
        ([b"head", b"a", b"b"], [b"heada", b"b"]),
        ([b"head", b"", "turn", b"late"], [b"head", b"late"]),
        ([b"head", "turn", b"body"], [b"head", b"body"]),
        ([b"head", "close", "turn"], [b"head", b"closed"]),
        ([b"head", b"x" * 70_000], [b"head", b"x" * 70_000]),
    ],
    ids=["short", "pieces", "empty", "slow", "no body", "long"],
)
def test_head_goes_out_with_the_body_that_follows_at_once(steps: list[Any], expected: list[bytes]) -> None:
    wire = Wire()
    transport = ResponseTransport(wire, wire.later.append)  # type: ignore[arg-type]
    for step in steps:
        if isinstance(step, bytes):
            transport.write(step)
        elif step == "close":
            transport.close()
        else:
            for call in wire.later:
                call()
    assert wire.written == expected
