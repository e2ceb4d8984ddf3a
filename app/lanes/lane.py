"""One lane: the API on listeners that the serving parent opened."""

from __future__ import annotations

import socket

import structlog

from app.config import Settings
from app.http.host_limits import HostConnections
from app.http.server import LaneServer
from app.lanes.link import LanePlace, ParentLink
from app.main import connection_table, create_app
from app.protocols.port import GrpcPort


def serve_lane(
    settings: Settings,
    control: socket.socket,
    listeners: list[socket.socket],
    place: LanePlace,
) -> None:
    """Serves as one of the lanes of a host.

    Args:
        listeners: of HTTP, and of the gRPC port where there is one.
    """
    structlog.contextvars.bind_contextvars(lane=place.index)
    link = ParentLink(control, place)
    for_http, for_grpc = place.sort(listeners)
    table = connection_table(settings, HostConnections(place.table) if place.lanes > 1 else None)
    app = create_app(settings, link=link, table=table, grpc_listeners=for_grpc)
    server = LaneServer(app.asgi, fast_path=app.fast_path, table=table, on_accepting=link.now_serves)
    _hand_on(link, place, server, app.grpc_port)
    server.run(sockets=for_http)


def _hand_on(link: ParentLink, place: LanePlace, server: LaneServer, grpc_port: GrpcPort | None) -> None:
    """What the parent says goes to both servers of the lane."""

    def stand_in(lane: int, listeners: list[socket.socket]) -> None:
        for_http, for_grpc = place.sort(listeners)
        server.other_lanes.stand_in(lane, for_http)
        if grpc_port is not None:
            grpc_port.stand_in(lane, for_grpc)

    def stand_back(lane: int) -> None:
        server.other_lanes.stand_back(lane)
        if grpc_port is not None:
            grpc_port.stand_back(lane)

    def drain() -> None:
        server.drain()
        if grpc_port is not None:
            grpc_port.drain()

    link.stand_in, link.stand_back, link.drain = stand_in, stand_back, drain
