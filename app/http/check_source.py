"""First step of admission: which Host a request names, and from which page a browser sends it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from app.config import Settings
from app.errors import Forbidden
from app.http.problems import Headers, Misdirected

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HOST = re.compile(rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::[0-9]{0,5})?")
_MOST_REMEMBERED = 1000
_PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, idempotency-key, if-match, last-event-id, x-request-key",
    ),
    (b"access-control-max-age", b"600"),
]


class SourceCheck:
    """Allowed Hosts and Origins, from the settings."""

    def __init__(self, settings: Settings) -> None:
        names = [*_LOOPBACK, settings.host, *settings.allowed_hosts.split(",")]
        self._hosts = frozenset(name.strip().lower() for name in names if name.strip())
        self._origins = frozenset(
            part.strip().rstrip("/") for part in settings.allowed_origins.split(",") if part.strip()
        )
        self._good_hosts: set[bytes] = set()

    def check(self, headers: Mapping[bytes, bytes]) -> Headers:
        """Response headers for the page that sent the request; none without an Origin.

        Raises:
            Misdirected: the Host is not one of this service.
            Forbidden: pages of the Origin may not call.
        """
        host = headers.get(b"host", b"")
        self.check_host(host)
        origin = headers.get(b"origin")
        if origin is None:
            return []
        own = origin in (b"http://" + host, b"https://" + host)
        if not own and origin.decode("latin-1") not in self._origins:
            raise Forbidden("Pages of that Origin may not call. The operator adds origins with ALLOWED_ORIGINS.")
        return [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]

    def check_host(self, host: bytes) -> None:
        """Raises Misdirected."""
        if host in self._good_hosts:
            return
        found = _HOST.fullmatch(host)
        if found is None or (found[1] or found[2]).decode().lower() not in self._hosts:
            raise Misdirected("This service does not answer for that Host. The operator adds names with ALLOWED_HOSTS.")
        if len(self._good_hosts) < _MOST_REMEMBERED:
            self._good_hosts.add(host)

    def preflight(self, method: str, headers: Mapping[bytes, bytes]) -> Headers | None:
        """Response headers for a browser that asks whether a page may call; None if the request is not a preflight.

        Raises:
            Misdirected, Forbidden: see `check`.
        """
        if method != "OPTIONS" or b"access-control-request-method" not in headers:
            return None
        return [*self.check(headers), *_PREFLIGHT]
