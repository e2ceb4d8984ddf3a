"""Ports for services that are told theirs before they start."""

from __future__ import annotations

import atexit
import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_FROM = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32768


def free_port() -> int:
    """A TCP port that stays free until this process uses it, whatever runs beside.

    It is below those that the kernel gives to connections and to who binds port 0, and no other process of the tests
    is given it: each holds the UDP port of the same number until it ends.
    """
    for port in random.Random().sample(range(max(1024, _EPHEMERAL_FROM - 12_000), _EPHEMERAL_FROM), 200):
        reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            reservation.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        atexit.register(reservation.close)
        return port
    raise AssertionError("none of 200 ports is free")
