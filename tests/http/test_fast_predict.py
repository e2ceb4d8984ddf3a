"""The fast path of predictions answers as the admission layer does: each request is sent until its head is known, and
then again."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.errors import Overloaded
from app.http.auth import Authenticator, TokenInfo
from app.http.rate_limit import TokenLimits
from app.serving.decode import Decoded
from tests.fakes import ManualClock
from tests.http.fast_site import TOKENS, Site, ask, receive, request, running
from tests.waiting import wait_for


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as site:
        yield site


def plain(answer: tuple[int, dict[bytes, bytes], bytes]) -> tuple[int, dict[bytes, bytes], bytes]:
    """Without what differs between any two answers."""
    status, headers, body = answer
    changing = (b"x-request-id", b"x-prediction-id", b"date")
    return status, {name: value for name, value in headers.items() if name not in changing}, body


@pytest.mark.parametrize("body", [b"one", b"late", b"bad"])
def test_second_answer_equals_the_first_that_went_through_the_gate(site: Site, body: bytes) -> None:
    with site.connect() as connection:
        first, second = (ask(site, connection, request(body)) for _ in range(2))

    assert plain(first) == plain(second)
    assert first[1].keys() == second[1].keys()
    assert first[1][b"x-request-id"] != second[1][b"x-request-id"]
    # `one` and `late` are queued twice, the first time for a task that awaits a future; `bad` never is
    assert site.echo.futures == (0 if body == b"bad" else 1)


def test_answers_of_both_ways_are_counted(site: Site) -> None:
    with site.connect() as connection:
        for _ in range(3):
            assert ask(site, connection, request(b"x"))[0] == 200

    requests = {tuple(s.labels.values()): s.value for s in next(iter(site.traffic.collect())).samples}
    assert requests[("POST", "predict", "200")] == 3
    assert site.echo.version.metrics.requests == 3


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        (request(b"x", token="reader"), 403),
        (request(b"x", token="nobody"), 401),
        (request(b"x").replace(b"localhost", b"evil.example"), 421),
        (request(b"x", headers=b"Origin: https://evil.example\r\n"), 403),
        (request(b"x", headers=b"Host: localhost\r\n"), 422),
        (request(b"x", headers=b"Content-Encoding: br\r\n"), 415),
        (request(b"x", path="/v1/models/m:classify", headers=b"Accept: application/vnd.apache.arrow.stream\r\n"), 415),
        (request(b"x" * 1001), 413),
    ],
)
def test_what_the_gate_refuses_is_refused_every_time(site: Site, changed: bytes, status: int) -> None:
    for _ in range(3):
        with site.connect() as connection:
            assert ask(site, connection, request(b"x"))[0] == 200
            assert ask(site, connection, request(b"x"))[0] == 200
            assert ask(site, connection, changed)[0] == status


def test_revoked_token_is_refused_though_its_head_is_known(site: Site) -> None:
    with site.connect() as connection:
        for _ in range(2):
            assert ask(site, connection, request(b"x"))[0] == 200
        del site.tokens["asker"]
        assert ask(site, connection, request(b"x"))[0] == 401


def test_request_in_pieces_is_answered(site: Site) -> None:
    data = request(b"hello")
    with site.connect() as connection:
        for cut in (3, 30, len(data) - 5, len(data) - 2):
            assert ask(site, connection, data)[2] == b"hello"
            connection.sendall(data[:cut])
            time.sleep(0.05)
            assert ask(site, connection, data[cut:])[2] == b"hello"


def test_slow_request_is_cut() -> None:
    with running(body_timeout_s=0.5) as site, site.connect() as connection:
        connection.sendall(request(b"hello")[:-1])
        assert receive(connection)[0] == 408


def test_requests_without_waiting_are_answered_in_order(site: Site) -> None:
    site.echo.delay_s = 0.05
    with site.connect() as connection:
        ask(site, connection, request(b"a"))
        connection.sendall(request(b"b"))  # on the fast path, still under way when the others come
        time.sleep(0.01)
        connection.sendall(request(b"c") + request(b"d"))
        assert [receive(connection)[2] for _ in range(3)] == [b"b", b"c", b"d"]
        connection.sendall(request(b"e") + request(b"f"))
        assert [receive(connection)[2] for _ in range(2)] == [b"e", b"f"]


def test_body_that_looks_like_a_request_stays_a_body(site: Site) -> None:
    inner = request(b"x", path="/v1/models/other:predict")
    with site.connect() as connection:
        for _ in range(3):
            assert ask(site, connection, request(inner))[2] == inner


def test_closed_connection_is_closed_after_the_answer(site: Site) -> None:
    with site.connect() as connection:
        ask(site, connection, request(b"x"))
        for _ in range(2):
            with site.connect() as other:
                assert ask(site, other, request(b"x", headers=b"Connection: close\r\n"))[1][b"connection"] == b"close"
                assert other.recv(1) == b""


def test_client_that_leaves_harms_nobody(site: Site) -> None:
    with site.connect() as connection:
        ask(site, connection, request(b"x"))
    site.echo.delay_s = 0.1
    for _ in range(5):
        with site.connect() as connection:
            connection.sendall(request(b"x"))
    site.echo.delay_s = 0.0
    with site.connect() as connection:
        assert ask(site, connection, request(b"x"))[0] == 200


def test_client_that_leaves_before_its_answer_counts_as_failed(site: Site) -> None:
    with site.connect() as connection:
        ask(site, connection, request(b"x"))
        assert ask(site, connection, request(b"x"))[0] == 200
    site.echo.delay_s = 3600.0
    with site.connect() as connection:
        connection.sendall(request(b"x"))
    metrics = site.echo.version.metrics
    wait_for(lambda: metrics.errors == {499: 1}, "that the server sees the end of the connection")
    assert metrics.requests == 2


def test_idle_connection_is_closed_and_a_used_one_is_not() -> None:
    idle_s = 0.3
    with running(idle_s=idle_s) as site:
        wait_for(lambda: lasts_while_used(site, idle_s), "a machine that lets the client ask in time")
        with site.connect() as connection:
            assert ask(site, connection, request(b"x"))[0] == 200
            assert connection.recv(1) == b""


def lasts_while_used(site: Site, idle_s: float) -> bool:
    """Whether a connection lasts for longer than it may be idle. False, too, when a busy machine let it idle."""
    began = last = time.monotonic()
    with site.connect() as connection:
        while last - began < 2 * idle_s:
            try:
                assert ask(site, connection, request(b"x"))[0] == 200
            except (OSError, AssertionError):
                assert time.monotonic() - last > idle_s / 2
                return False
            last = time.monotonic()
    return True


def test_full_queue_is_told_with_retry_after(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with site.connect() as connection:
        for _ in range(2):
            ask(site, connection, request(b"x"))

        def full(*_: Any, **__: Any) -> None:
            raise Overloaded("Full.", retry_after_s=1)

        monkeypatch.setattr(site.echo, "submit", full)
        status, headers, _ = ask(site, connection, request(b"x"))
    assert (status, headers[b"retry-after"]) == (429, b"1")


def test_token_is_remembered_until_the_registry_has_to_be_asked_again() -> None:
    clock = ManualClock()
    authenticator = Authenticator(TOKENS.get, fresh_s=1.0, clock=clock)
    digest = hashlib.sha256(b"asker").digest()
    assert authenticator.remembered(digest) is None
    assert asyncio.run(authenticator("asker")) == TOKENS["asker"]
    assert authenticator.remembered(digest) == TOKENS["asker"]
    clock.advance(1.1)
    assert authenticator.remembered(digest) is None


def test_token_is_not_asked_for_again_while_nothing_was_committed() -> None:
    versions, asked = [1, 1], []

    def find(secret: str) -> TokenInfo | None:
        asked.append(secret)
        return TOKENS.get(secret)

    clock = ManualClock()
    authenticator = Authenticator(find, version=lambda: versions[-1], fresh_s=1.0, clock=clock)
    digest = hashlib.sha256(b"asker").digest()
    asyncio.run(authenticator("asker"))
    clock.advance(1.1)
    assert authenticator.remembered(digest) == TOKENS["asker"]
    assert asyncio.run(authenticator("asker")) == TOKENS["asker"]
    assert asked == ["asker"]
    clock.advance(1.1)
    versions.append(2)
    assert authenticator.remembered(digest) is None
    asyncio.run(authenticator("asker"))
    assert asked == ["asker", "asker"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (TokenLimits(predictions_per_s=2.0), b"predictions per second"),
        (TokenLimits(rows_per_s=2.0), b"instances per second"),
    ],
)
def test_predictions_over_the_rate_are_429_on_both_ways_and_others_are_answered(
    limits: TokenLimits, words: bytes
) -> None:
    with running(limits) as site, site.connect() as connection, site.connect() as other:
        # 2 per second, with two seconds' worth at once: 4. The first passes the admission layer, three the fast path
        answers = [ask(site, connection, request(b"x")) for _ in range(8)]
        statuses = [answer[0] for answer in answers]
        assert statuses[:4] == [200] * 4
        assert 429 in statuses[4:]
        refused = answers[statuses.index(429)]
        assert refused[1][b"retry-after"] == b"1"
        assert words in refused[2]
        for _ in range(4):
            assert ask(site, other, request(b"x", token="another"))[0] == 200
        assert site.echo.futures == 2  # one for each token: the others were on the fast path


def test_one_token_cannot_fill_the_queue() -> None:
    with running(TokenLimits(rows_in_flight=2)) as site:
        account = Holding(site)
        connections = [site.connect() for _ in range(3)]
        with connections[0], connections[1], connections[2], site.connect() as other:
            for connection in connections[:2]:
                connection.sendall(request(b"x"))
            account.wait_for(2)
            assert ask(site, connections[2], request(b"x"))[0] == 429
            other.sendall(request(b"x", token="another"))
            account.wait_for(3)
            account.go_on()
            for connection in (*connections[:2], other):
                assert receive(connection)[0] == 200


class Holding:
    """Keeps the predictions of a site until told."""

    def __init__(self, site: Site) -> None:
        self._held: list[Any] = []
        site.echo.submit = self._submit  # type: ignore[method-assign]
        self._echo = site.echo

    def _submit(self, queue: Any, request: Decoded, size: int, reply: Any, account: Any = None, **_: Any) -> None:
        account.rows += request.count
        self._held.append((asyncio.get_running_loop(), request.rows[0], reply))

    def wait_for(self, count: int) -> None:
        wait_for(lambda: len(self._held) == count)

    def go_on(self) -> None:
        for loop, body, reply in self._held:
            loop.call_soon_threadsafe(self._echo._answer, body, reply)


def test_bytes_in_flight_of_one_token_are_bounded() -> None:
    with running(TokenLimits(bytes_in_flight=1000)) as site:
        first, second, third = (site.connect() for _ in range(3))
        with first, second, third:
            first.sendall(request(b"x" * 900)[:-1])  # all but its last byte: it waits for that with 899 in memory
            wait_for(lambda: ask(site, second, request(b"y" * 200))[0] == 429)
            assert ask(site, third, request(b"y" * 200, token="another"))[0] == 200
            first.sendall(b"x")
            assert receive(first)[0] == 200
        with site.connect() as fourth:
            assert ask(site, fourth, request(b"y" * 900))[0] == 200
