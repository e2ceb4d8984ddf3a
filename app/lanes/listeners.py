"""The listening sockets: one a lane and address, kept by the parent for as long as it lives.

Each lane has a socket of its own (SO_REUSEPORT): on one shared socket the kernel wakes the same process again and
again, 32 connections were all on one of four. A lane that dies leaves its socket open, so connections that come
meanwhile wait for its successor.
"""

from __future__ import annotations

import socket

_BACKLOG = 2048


def listen(host: str, port: int, lanes: int) -> list[list[socket.socket]]:
    """For each lane, a socket for each address of the host, all with one port.

    Args:
        port: 0: any free one.

    Raises OSError when somebody listens there.
    """
    addresses = _addresses(host, port)
    port = port or _free_port(addresses[0])
    check_free(host, port)
    return [[_listener(family, address[0], port) for family, address in addresses] for _ in range(lanes)]


def _addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, (str(address[0]), port)) for family, _, _, _, address in found))


def _free_port(address: tuple[int, tuple[str, int]]) -> int:
    family, (host, _) = address
    with socket.create_server((host, 0), family=family) as probe:
        return int(probe.getsockname()[1])


def check_free(host: str, port: int) -> None:
    """Raises OSError when somebody listens there, even if he would share the port."""
    for family, address in _addresses(host, port):
        socket.create_server((address[0], port), family=family).close()


def _listener(family: int, host: str, port: int) -> socket.socket:
    return socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=True)
