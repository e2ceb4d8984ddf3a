"""Connection caps: how many connections there may be, in all and per address, and which one goes when one more comes.

Everything here runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol

_KEPT_DESCRIPTORS = 32
"""Descriptors that connections never take: for the database, files and predictor sockets."""
_PROBE_CONNECTIONS = 16
_EVICTED_AT_ONCE = 16
_MOST_DESCRIPTORS = 65_536


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits on the number of connections and on the time that each may wait.

    Attributes:
        total: maximum number of connections; the number of descriptors of the process may set a lower one.
        per_address: maximum per client address (an IPv6 network of 64 bits counts as one).
        head_s: maximum time from the first byte of a request head, or from the start of a connection, to its end.
        idle_s: maximum time between the end of a response and the next request head.
        stalled_s: maximum time for which a client may read nothing of a response.
        flush_s: maximum time that a connection may need to close.
    """

    total: int = 2000
    per_address: int = 1000
    head_s: float = 20.0
    idle_s: float = 5.0
    stalled_s: float = 30.0
    flush_s: float = 10.0

    @property
    def check_every_s(self) -> float:
        return min(1.0, max(0.02, min(self.head_s, self.idle_s, self.stalled_s, self.flush_s) / 4))


class TrackedConnection(Protocol):
    """A connection, as far as the caps are concerned."""

    address: str
    probe: bool

    def evictable_since(self) -> float:
        """Monotonic time since which it may be ended for another one's sake: no request is under way, or one of which
        the client has shown no token and is still to send or to read something. Infinite while it may not."""

    def check(self, now: float) -> None:
        """Ends the connection when it is over one of its times."""

    def abort(self) -> None: ...


class OtherConnections(Protocol):
    """Connections of the same host's other lanes."""

    def all(self) -> int: ...
    def of_address(self, address: str) -> int: ...
    def here(self, address: str, of_address: int, total: int) -> None:
        """Told of each change: connections of the address, and all, in this lane."""


class ConnectionTable:
    """All open connections of a server."""

    def __init__(
        self,
        limits: ConnectionLimits,
        elsewhere: OtherConnections | None = None,
    ) -> None:
        self.limits = limits
        self._elsewhere = elsewhere
        self._clients: set[TrackedConnection] = set()
        self._by_address: Counter[str] = Counter()
        self._probes = 0
        self._room = limits.total
        self._timer: asyncio.TimerHandle | None = None
        self.draining = False
        """Each connection ends with its next response."""
        self.refused = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[TrackedConnection]:
        return iter(list(self._clients))

    def __contains__(self, client: TrackedConnection) -> bool:
        return client in self._clients

    def start(self) -> None:
        """Looks after the connections from now on; once more is no error."""
        if self._timer is None:
            raise_descriptor_limit(self.limits.total)
            self._check()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def admit(self, address: str) -> str:
        """`yes`; `probe` when only a health probe may still be answered; or `no`. Makes room by ending connections
        that wait for a request, or for a client without a token, longest first."""
        limits = self.limits
        all_of_address = self._by_address[address]
        all_here = held = len(self._clients) - self._probes
        if self._elsewhere is not None:
            all_of_address += self._elsewhere.of_address(address)
            held += self._elsewhere.all()
        evicted = 0
        if all_of_address >= limits.per_address:
            evicted = self._evict(address)
            if not evicted:
                return self._refuse(address)
        full = all_here - evicted >= self._room or held - evicted >= limits.total
        return self._refuse(address) if full and not self._evict(None) else "yes"

    def add(self, client: TrackedConnection) -> None:
        self._clients.add(client)
        self._by_address[client.address] += 1
        self._probes += client.probe
        self._tell(client.address)

    def remove(self, client: TrackedConnection) -> None:
        """Forgets a connection; one that is not here is no error."""
        if client not in self._clients:
            return
        self._clients.discard(client)
        self._probes -= client.probe
        self._by_address[client.address] -= 1
        self._tell(client.address)
        if not self._by_address[client.address]:
            del self._by_address[client.address]

    def free_descriptors(self) -> None:
        """Called when the process has none left: the connections that wait longest are closed."""
        self._evict(None)
        self._count_room()

    def _tell(self, address: str) -> None:
        if self._elsewhere is not None:
            self._elsewhere.here(address, self._by_address[address], len(self._clients) - self._probes)

    def _refuse(self, address: str) -> str:
        self.refused += 1
        return "probe" if is_loopback(address) and self._probes < _PROBE_CONNECTIONS else "no"

    def _evict(self, address: str | None) -> int:
        """Ends some of the connections that only wait for their clients; how many: 0 when there are none."""
        now = time.monotonic()
        waiting = [
            (since, client)
            for client in self._clients
            if (address is None or client.address == address)
            and not client.probe
            and (since := client.evictable_since()) <= now
        ]
        waiting.sort(key=lambda item: item[0])
        ended = waiting[: max(1, min(_EVICTED_AT_ONCE, len(waiting) // 8))]
        for _, client in ended:
            self.evicted += 1
            self.remove(client)
            client.abort()
        return len(ended)

    def _check(self) -> None:
        now = time.monotonic()
        for client in list(self._clients):
            client.check(now)
        self._count_room()
        self._timer = asyncio.get_running_loop().call_later(self.limits.check_every_s, self._check)

    def _count_room(self) -> None:
        """How many connections the descriptors of the process allow: the limit can change while it runs."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        try:
            others = len(os.listdir("/proc/self/fd")) - len(self._clients)  # noqa: PTH208  names only
        except OSError:  # none left to list them with, or no /proc
            return
        self._room = max(1, limit - max(0, others) - _KEPT_DESCRIPTORS)


def raise_descriptor_limit(connections: int) -> None:
    """Raises the soft limit of descriptors as far as the hard one allows and `connections` need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, max(soft, connections + 1024), max(soft, _MOST_DESCRIPTORS))
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def network_of(host: str) -> str:
    """The address that a client is counted under: itself, or its /64 network for IPv6."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_loopback:
        return host
    return str(ip_address(int(address) >> 64 << 64))


def is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return True  # a Unix socket has no address
