"""Predictions whose head and body come apart, as most clients send them, take the fast path; whatever is unusual about
one goes the usual way with nothing lost."""

from __future__ import annotations

import http.client
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import httpx
import pytest

from app.http.connection import Connection
from app.http.fast_predict import Exchange
from app.http.partial_request import PartialRequest
from app.http.rate_limit import TokenLimits
from app.serving.large_body import INLINE_BYTES
from tests.http.fast_site import TOKENS, Site, ask, receive, request, running
from tests.http.raw import STATUS, read_all, read_next_body
from tests.waiting import wait_for

HEADERS = {"Authorization": "Bearer asker", "Content-Type": "application/json"}
PATH = "/v1/models/m:predict"


class Seen:
    """What the fast path of a site made of what it was given, in order."""

    def __init__(self, site: Site) -> None:
        self._take = site.fast_path.take
        site.fast_path.take = self._watched  # type: ignore[method-assign]
        self.kinds: list[type] = []

    def _watched(self, connection: Any, data: bytes) -> Any:
        found = self._take(connection, data)
        self.kinds.append(type(found))
        return found

    def waits(self) -> bool:
        return bool(self.kinds) and self.kinds[-1] is PartialRequest

    def joined(self) -> bool:
        """Whether the last request was begun after its body was waited for."""
        return self.kinds[-2:] == [PartialRequest, Exchange]


class Pieces:
    """Counts what connections receive, so that a test knows that the next piece comes apart from the one before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.received = 0
        receive_data = Connection.data_received

        def counted(connection: Connection, data: bytes) -> None:
            receive_data(connection, data)
            self.received += 1

        monkeypatch.setattr(Connection, "data_received", counted)

    def send(self, connection: socket.socket, piece: bytes) -> None:
        before = self.received
        connection.sendall(piece)
        wait_for(lambda: self.received > before, "the server to have read this much")


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as site:
        yield site


def parts(body: bytes, **options: Any) -> tuple[bytes, bytes]:
    """Head and body of a request."""
    data = request(body, **options)
    return data[: len(data) - len(body)], body


def begun(site: Site, connection: socket.socket, body: bytes = b"hello", held: int = 0) -> Seen:
    """Sends a request whose head is known up to some bytes of its body, and waits until that is on the fast path."""
    seen = Seen(site)
    head, _ = parts(body)
    assert ask(site, connection, head + body)[0] == 200
    connection.sendall(head + body[:held])
    wait_for(seen.waits)
    return seen


def test_head_and_body_apart_take_the_fast_path(site: Site) -> None:
    seen = Seen(site)
    head, body = parts(b"hello")

    def taken() -> bool:
        """False when the connections were looked at meanwhile, once a second: the request goes the usual way then."""
        before = len(seen.kinds)
        connection.sendall(head)
        wait_for(lambda: len(seen.kinds) > before, "the head to be looked at")
        assert ask(site, connection, body)[2] == b"hello"
        return seen.joined()

    with site.connect() as connection:
        assert ask(site, connection, head + body)[0] == 200
        wait_for(taken)
        asked = site.echo.futures
        assert ask(site, connection, head + body)[0] == 200
    assert site.echo.futures == asked


@contextmanager
def by_http_client(site: Site) -> Iterator[Callable[[bytes], tuple[int, bytes]]]:
    with closing(http.client.HTTPConnection(*site.address, timeout=60)) as connection:

        def ask_it(body: bytes) -> tuple[int, bytes]:
            connection.request("POST", PATH, body, HEADERS)
            answer = connection.getresponse()
            return answer.status, answer.read()

        yield ask_it


@contextmanager
def by_httpx(site: Site) -> Iterator[Callable[[bytes], tuple[int, bytes]]]:
    with httpx.Client(base_url="http://{}:{}".format(*site.address), headers=HEADERS, timeout=60) as client:

        def ask_it(body: bytes) -> tuple[int, bytes]:
            answer = client.post(PATH, content=body)
            return answer.status_code, answer.content

        yield ask_it


@pytest.mark.parametrize("client", [by_http_client, by_httpx])
def test_requests_of_libraries_take_the_fast_path(site: Site, client: Callable[[Site], Any]) -> None:
    seen = Seen(site)
    with client(site) as ask_it:

        def joined() -> bool:
            """False when both parts came in one read, as they do on a busy machine now and then."""
            assert ask_it(b"hello") == (200, b"hello")
            return seen.joined()

        wait_for(joined)


def test_pieces_of_any_number_are_joined(site: Site) -> None:
    body = bytes(range(32, 127))
    with site.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun(site, connection, body)
        for i in range(len(body)):
            connection.sendall(body[i : i + 1])
        assert receive(connection)[2] == body
        assert ask(site, connection, request(body))[2] == body


def test_body_that_never_comes_is_refused_in_time() -> None:
    with running(body_timeout_s=0.3) as site, site.connect() as connection:
        begun(site, connection, held=2)
        assert receive(connection)[0] == 408


def test_bytes_behind_the_body_are_the_next_request(site: Site) -> None:
    with site.connect() as connection:
        begun(site, connection)
        connection.sendall(b"hello" + request(b"next") + request(b"last")[:-1])
        assert [read_next_body(connection) for _ in range(2)] == [b"hello", b"next"]
        connection.sendall(b"t")
        assert read_next_body(connection) == b"last"


def test_client_that_leaves_before_its_body_is_counted_and_harms_nobody(site: Site) -> None:
    account = site.fast_path.admission.tokens.accounts.for_token("tok_1")
    with site.connect() as connection:
        begun(site, connection, held=3)
        wait_for(lambda: account.bytes == 3)
    wait_for(lambda: site.traffic.series("POST", "predict", 499).count == 1)
    assert account.bytes == 0
    with site.connect() as connection:
        assert ask(site, connection, request(b"x"))[0] == 200


def test_token_revoked_before_the_body_came_is_refused(site: Site) -> None:
    with site.connect() as connection:
        begun(site, connection)
        del site.tokens["asker"]
        assert ask(site, connection, b"hello")[0] == 401


def test_head_of_a_token_that_is_revoked_waits_for_nothing(site: Site) -> None:
    head, body = parts(b"x")
    with site.connect() as connection:
        assert ask(site, connection, head + body)[0] == 200
        del site.tokens["asker"]
        assert ask(site, connection, head)[0] == 401


def test_version_unloaded_before_the_body_came_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with site.connect() as connection:
        begun(site, connection)
        asked = site.echo.futures
        monkeypatch.setattr(site.echo, "get_if_loaded", lambda *_: None)
        assert ask(site, connection, b"hello")[2] == b"hello"
    assert site.echo.futures == asked + 1


def test_parts_of_bodies_count_as_bytes_in_flight() -> None:
    with running(TokenLimits(bytes_in_flight=1000)) as site, ExitStack() as stack:
        first, second, third = (stack.enter_context(site.connect()) for _ in range(3))
        head, body = parts(b"x" * 900)
        for connection in (first, second):
            assert ask(site, connection, head + body)[0] == 200
        seen = Seen(site)
        first.sendall(head + body[:-1])
        wait_for(seen.waits)
        second.sendall(head)
        assert ask(site, second, body[:-1])[0] == 429
        assert ask(site, third, request(b"y" * 200, token="another"))[0] == 200
        assert ask(site, first, b"x")[0] == 200
    assert site.fast_path.admission.tokens.accounts.for_token("tok_1").bytes == 0


@pytest.mark.parametrize(("size", "kind"), [(INLINE_BYTES, PartialRequest), (INLINE_BYTES + 1, type(None))])
def test_body_for_another_process_is_not_waited_for(size: int, kind: type) -> None:
    head, _ = parts(b"x" * size)
    with running(max_body_bytes=2 * INLINE_BYTES) as site:
        seen = Seen(site)
        for found in (type(None), kind):  # the head is unknown, and then known
            with site.connect() as connection:
                connection.sendall(head)
                wait_for(lambda: seen.kinds)
            assert seen.kinds == [found]
            wait_for(lambda: site.traffic.series("POST", "predict", 499).count)
            site.traffic.series("POST", "predict", 499).count = 0
            seen.kinds.clear()


def test_client_that_asks_before_it_sends_its_body_is_told_to_go_on(site: Site) -> None:
    head, body = parts(b"x", headers=b"Expect: 100-continue\r\n")
    with site.connect() as connection:
        for _ in range(3):
            connection.sendall(head)
            assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert ask(site, connection, body)[0] == 200


def test_server_that_ends_waits_for_the_body(site: Site) -> None:
    with ExitStack() as stack:
        ending = stack.enter_context(running())
        connection = ending.connect()
        begun(ending, connection)
        ends = threading.Thread(target=stack.pop_all().close)
        ends.start()
        wait_for(lambda: refuses(ending), "a server that accepts no more")
        assert ask(ending, connection, b"hello")[2] == b"hello"
        assert read_all(connection) == b""
        ends.join()
        connection.close()


def refuses(site: Site) -> bool:
    try:
        site.connect().close()
    except OSError:
        return True
    return False


def test_requests_cut_anywhere_are_answered_in_order_each_under_its_own_head(site: Site) -> None:
    choose = random.Random(7)
    account_of = {
        secret: site.fast_path.admission.tokens.accounts.for_token(token.id) for secret, token in TOKENS.items()
    }
    expected = []

    def one() -> tuple[bytes, bytes]:
        """A request, and its body: many are of one length, with another token and version."""
        body = b"%0*d" % (choose.randint(1, 4), choose.randrange(10))
        secret, number = choose.choice(("asker", "another")), choose.choice((1, 2))
        odd = choose.choice((b"", b"X-Odd: 1\r\n", b"Accept: */*\r\n"))
        expected.append((body, number, account_of[secret]))
        return request(body, path=f"/v1/models/m/versions/{number}:predict", headers=odd, token=secret), body

    with site.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(300):
            asked, bodies = zip(*(one() for _ in range(choose.choice((1, 1, 2, 3)))), strict=True)
            data = b"".join(asked)
            cuts = sorted(choose.randrange(len(data)) for _ in range(choose.randrange(5)))
            cuts += [data.index(b"\r\n\r\n") + 4] if choose.random() < 0.5 else []
            for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
                connection.sendall(data[start:end])
            assert tuple(read_next_body(connection) for _ in bodies) == bodies
    assert site.echo.asked == expected


def test_head_that_comes_in_pieces_stands_for_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = Pieces(monkeypatch)
    good, unknown = request(b"hello"), request(b"hello", token="nobody")
    cut = good.index(b"Authorization")
    for _ in range(2):  # what the first could leave behind, and what the second could find
        with site.connect() as connection:
            pieces.send(connection, good[:cut])
            assert ask(site, connection, good[cut:])[::2] == (200, b"hello")
            assert ask(site, connection, request(b"longer"))[::2] == (200, b"longer")
            assert ask(site, connection, unknown)[0] == 401


def test_heads_that_wait_behind_others_stand_for_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = Pieces(monkeypatch)
    site.echo.delay_s = 0.2
    known = [request(body) for body in (b"abc", b"abcd", b"hello")]
    unknown = request(b"hello", token="nobody")
    with site.connect() as connection:
        for data in (*known, unknown):
            pieces.send(connection, data)
        assert STATUS.findall(read_all(connection)) == [b"200", b"200", b"200", b"401"]
    for _ in range(2):
        with site.connect() as connection:
            assert ask(site, connection, unknown)[0] == 401
