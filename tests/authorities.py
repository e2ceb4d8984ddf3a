"""One reading of the authorities' certificates for all clients of httpx in a process of tests.

Each client reads them anew, and so does each `httpx.get`, which takes 14 ms of the processor; most ask a server without
TLS, and many ask it again and again until something has happened.
"""

from __future__ import annotations

import functools
import os
import ssl
from typing import Any

import httpx
from httpx._transports import default


def install() -> None:
    made_anew, known = httpx.create_ssl_context, functools.cache(httpx.create_ssl_context)

    def context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        own = trust_env and any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
        if verify is True and cert is None and not own:
            return known(trust_env=False)
        return made_anew(verify=verify, cert=cert, trust_env=trust_env)

    assert default.create_ssl_context is made_anew  # type: ignore[attr-defined]  # what the clients call
    default.create_ssl_context = context  # type: ignore[attr-defined]
