"""The gRPC port as the API process opens it: TLS, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest

from app.config import Settings
from app.http.connections import ConnectionLimits, ConnectionTable
from app.http.request_metrics import Traffic
from app.http2 import http2_frames as frames
from app.http2.http2_frames import ErrorCode, rst_stream
from app.protocols.port import GrpcPort
from estimator_client import Client
from tests.ports import free_port
from tests.protocols.conftest import Port, message
from tests.protocols.raw_http2 import PREDICT, WATCH, RawClient, data_frame, framed, headers_frame, request_headers
from tests.protocols.test_tensorflow_serving import floats, predict_request

STATUS = "/tensorflow.serving.ModelService/GetModelStatus"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a certificate of it for 127.0.0.1 with its key."""
    place = tmp_path_factory.mktemp("tls")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    (place / "san").write_text("subjectAltName=IP:127.0.0.1")
    sign = "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out certificate.pem"
    for command in (
        ["req", "-x509", *key, "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", *key, "-subj", "/CN=server", "-keyout", "key.pem", "-out", "request"],
        sign.split(),
    ):
        subprocess.run(["openssl", *command], cwd=place, check=True, capture_output=True)
    return place


def opened(port: Port, *, table: ConnectionTable | None = None, **settings: Any) -> GrpcPort:
    table = ConnectionTable(ConnectionLimits()) if table is None else table
    made = GrpcPort(Settings(**settings), port.inference, Traffic(), ready=lambda: True, table=table)

    async def open_port() -> None:
        await made.open()
        made.accept()

    port.server.call(open_port())
    return made


def ask(channel: grpc.Channel) -> Any:
    request = message("GetModelStatusRequest")()
    request.model_spec.name = "half"
    options = {"metadata": [("authorization", "Bearer asker")], "timeout": 20}
    return message("GetModelStatusResponse").FromString(
        channel.unary_unary(STATUS)(request.SerializeToString(), **options)
    )


@pytest.mark.parametrize("mutual", [False, True])
def test_with_tls_files_the_port_speaks_tls_only(port: Port, certificates: Path, mutual: bool) -> None:
    files = {"grpc_tls_certificate": certificates / "certificate.pem", "grpc_tls_key": certificates / "key.pem"}
    if mutual:
        files["grpc_tls_client_ca"] = certificates / "ca.pem"
    served = opened(port, grpc_port=free_port(), **files)
    try:
        authority = (certificates / "ca.pem").read_bytes()
        own = ((certificates / "key.pem").read_bytes(), (certificates / "certificate.pem").read_bytes())
        address = f"127.0.0.1:{served.number}"
        with grpc.secure_channel(address, grpc.ssl_channel_credentials(authority, *own)) as channel:
            assert len(ask(channel).model_version_status) == 2
        credentials = grpc.ssl_channel_credentials(authority, *own)
        with Client("http://127.0.0.1:9", "asker", grpc=f"grpcs://{address}", grpc_credentials=credentials) as client:
            assert client.predict("half", [{"x": 1.0}]) == [2.5]
        refused = [grpc.insecure_channel(address)]
        if mutual:
            refused.append(grpc.secure_channel(address, grpc.ssl_channel_credentials(authority)))
        for channel in refused:
            with channel, pytest.raises(grpc.RpcError) as caught:
                ask(channel)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        port.server.call(served.stop())


def test_without_a_port_nothing_is_opened(port: Port) -> None:
    assert opened(port).number == 0


def test_a_port_that_is_taken_or_a_file_that_is_not_there_is_told(port: Port, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be opened"):
        opened(port, grpc_port=port.number)
    missing = tmp_path / "missing.pem"
    with pytest.raises(OSError, match=r"missing\.pem"):
        opened(port, grpc_port=free_port(), grpc_tls_certificate=missing, grpc_tls_key=missing)


@pytest.mark.parametrize("given", [{"grpc_tls_key": "k.pem"}, {"grpc_tls_client_ca": "ca.pem"}])
def test_half_of_the_tls_files_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="GRPC_TLS_CERTIFICATE"):
        Settings(**given)  # type: ignore[arg-type]


def raw(port: GrpcPort) -> RawClient:
    return RawClient(port.number)


def test_connections_over_the_caps_make_room_or_are_closed(port: Port) -> None:
    table = ConnectionTable(ConnectionLimits(total=3, per_address=10))
    served = opened(port, grpc_port=free_port(), table=table)
    try:
        with raw(served) as first, raw(served) as second, raw(served) as third:
            for client in (first, second, third):
                client.send(headers_frame(1, request_headers(PREDICT, token="asker")))
                client.next(frames.WINDOW_UPDATE)  # a call is under way, and its token was found good
            with raw(served) as probe, raw(served) as another:
                assert probe.call(1).status == "0"  # from this machine, and only that
                another.send(headers_frame(1, request_headers(PREDICT, token="asker")))
                assert another.answers(1)[1].status == "14"
            second.send(rst_stream(1, ErrorCode.CANCEL))
            second.is_served()
            with raw(served) as fourth:
                fourth.send(headers_frame(1, request_headers(PREDICT, token="asker")))
                fourth.is_served()
                assert second.goodbye() == -1  # it waited for nothing
                first.is_served()
        assert (table.refused, table.evicted) == (2, 1)
    finally:
        port.server.call(served.stop())


def test_a_port_that_stops_answers_what_runs_and_says_where_it_ends(port: Port) -> None:
    table = ConnectionTable(ConnectionLimits())
    served = opened(port, grpc_port=free_port(), table=table)
    request = framed(predict_request(x=floats(1)).SerializeToString())
    with raw(served) as client, raw(served) as idle:
        client.send(headers_frame(1, request_headers(PREDICT, token="asker")), headers_frame(3, request_headers(WATCH)))
        client.send(data_frame(3, framed(b"")))
        assert client.next(frames.DATA, 3).payload == framed(b"\x08\x01")
        idle.is_served()
        stopping = asyncio.run_coroutine_threadsafe(served.stop(), port.server.loop)
        first = client.next(frames.GOAWAY)
        assert int.from_bytes(first.payload[:4], "big") == 2**31 - 1
        ping = client.next(frames.PING)
        client.send(headers_frame(5, request_headers()), data_frame(5, framed(b"")))  # before it has heard that
        client.send(frames.frame(frames.PING, frames.ACK, 0, ping.payload))
        last = client.next(frames.GOAWAY)
        assert int.from_bytes(last.payload[:4], "big") == 5
        client.send(headers_frame(7, request_headers()), data_frame(1, request))
        assert client.answers(1)[1].status == "0"
        assert client.goodbye() == -1
        assert idle.goodbye() == 0
    stopping.result(60)
    assert len(table) == 0


def test_tls_without_h2_is_told(port: Port, certificates: Path) -> None:
    files = {"grpc_tls_certificate": certificates / "certificate.pem", "grpc_tls_key": certificates / "key.pem"}
    served = opened(port, grpc_port=free_port(), **files)
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    try:
        plain = socket.create_connection(("127.0.0.1", served.number), 60)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            found = b""
            while piece := client.recv(1000):
                found += piece
        assert b"TLS was not set up for h2." in found
    finally:
        port.server.call(served.stop())
