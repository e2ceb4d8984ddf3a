"""Listening sockets of one process."""

from __future__ import annotations

import asyncio
import socket

_BACKLOG = 2048


async def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets for all addresses of the host, with one port; 0: any free one. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listeners: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            listeners.append(socket.create_server((address[0], port), family=family, backlog=_BACKLOG))
            port = listeners[0].getsockname()[1]
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners
