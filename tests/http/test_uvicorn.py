"""The private attributes of uvicorn that `app.http` uses. Its version is pinned; a new one has to pass this first."""

from __future__ import annotations

import asyncio
import inspect
import re
from importlib.metadata import version
from typing import Any

import httptools
import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState


@pytest.fixture
def protocol() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    async def make() -> Any:
        config = uvicorn.Config(app, ws="none", log_config=None)
        return httptools_impl.HttpToolsProtocol(config, ServerState(), {})

    return asyncio.run(make())


def test_version_is_the_pinned_one() -> None:
    assert version("uvicorn").split(".")[:2] == ["0", "54"]


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [
        ("pipeline", "deque"),
        ("parser", "HttpRequestParser"),
        ("server_state", "ServerState"),
        ("loop", "EventLoop"),
        ("cycle", "NoneType"),
        ("flow", "NoneType"),
        ("transport", "NoneType"),
    ],
)
def test_connection_has_the_attributes_that_are_used(protocol: Any, attribute: str, kind: str) -> None:
    assert kind in type(getattr(protocol, attribute)).__name__ or attribute == "loop"


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("connection_made", ["transport"]),
        ("connection_lost", ["exc"]),
        ("data_received", ["data"]),
        ("on_message_begin", []),
        ("on_url", ["url"]),
        ("on_header", ["name", "value"]),
        ("on_headers_complete", []),
        ("on_body", ["body"]),
        ("on_message_complete", []),
        ("on_response_complete", []),
        ("shutdown", []),
        ("_start_asgi_task", ["cycle", "app"]),
    ],
)
def test_connection_has_the_methods_that_are_overridden_or_called(
    protocol: Any, method: str, parameters: list[str]
) -> None:
    assert list(inspect.signature(getattr(protocol, method)).parameters) == parameters


def test_cycle_has_what_is_read_and_set() -> None:
    names = inspect.signature(httptools_impl.RequestResponseCycle.__init__).parameters
    assert {"keep_alive", "on_response", "message_event", "transport"} <= names.keys()
    source = inspect.getsource(httptools_impl.RequestResponseCycle)
    for attribute in ("response_complete", "response_started", "disconnected", "keep_alive", "message_event"):
        assert f"self.{attribute}" in source


def test_message_begin_starts_a_new_head(protocol: Any) -> None:
    protocol.on_message_begin()
    protocol.on_url(b"/a")
    protocol.on_header(b"Name", b"value")
    assert (protocol.url, protocol.headers) == (b"/a", [(b"name", b"value")])
    assert protocol.scope["headers"] is protocol.headers


def test_flow_tells_whether_writing_is_paused() -> None:
    async def make() -> Any:
        return FlowControl(None)  # type: ignore[arg-type]

    flow = asyncio.run(make())
    flow.pause_writing()
    assert flow.write_paused
    assert {"pause_reading", "resume_reading"} <= set(dir(flow))


def test_server_has_what_is_overridden_and_used() -> None:
    server = uvicorn.Server(uvicorn.Config("x:y", log_config=None))
    assert list(inspect.signature(server.startup).parameters) == ["sockets"]
    assert list(inspect.signature(server.shutdown).parameters) == ["sockets"]
    assert inspect.iscoroutinefunction(server.startup)
    assert callable(server._log_started_message)
    assert server.server_state.default_headers == []
    assert "server.close()" in inspect.getsource(uvicorn.Server.shutdown)
    assert "self.lifespan = " in inspect.getsource(uvicorn.Server._serve)


def test_parser_tells_where_an_upgrade_leaves_off() -> None:
    class Callbacks:
        def on_body(self, body: bytes) -> None:
            raise AssertionError("no body is parsed for a request with an offer to upgrade")

    head = b"POST / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 5\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as upgrade:
        httptools.HttpRequestParser(Callbacks()).feed_data(head + b"hello")
    assert upgrade.value.args == (len(head),)


def test_parser_stops_at_an_exception_of_a_callback() -> None:
    class Callbacks:
        def on_header(self, name: bytes, value: bytes) -> None:
            raise KeyError("mine")

    with pytest.raises(httptools.HttpParserError):
        httptools.HttpRequestParser(Callbacks()).feed_data(b"GET / HTTP/1.1\r\nA: b\r\n\r\n")


def test_line_breaks_begin_no_message() -> None:
    class Callbacks:
        def on_message_begin(self) -> None:
            raise AssertionError("a line break is no request")

    httptools.HttpRequestParser(Callbacks()).feed_data(b"\r\n" * 10)


def test_cycle_does_with_its_transport_what_ours_can() -> None:
    used = set(re.findall(r"self\.transport\.(\w+)", inspect.getsource(httptools_impl.RequestResponseCycle)))
    assert used == {"write", "close", "is_closing"}
