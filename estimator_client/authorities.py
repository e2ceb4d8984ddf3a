"""Whom a client of HTTP believes."""

from __future__ import annotations

import functools
import ssl

import httpx


def authorities(address: str) -> ssl.SSLContext:
    """What the certificate of the server at an address is checked by: read once in a process, and not at all for an
    `http` address. By itself each of httpx' clients reads them, which takes ten times as long as a small request."""
    if httpx.URL(address).scheme == "http":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # believes nobody
    return _known()


@functools.cache
def _known() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)
