"""Tokens, their scopes, and the paths that need none."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from app.errors import Forbidden, Unavailable
from app.serving.verbs import is_prediction, verb_of

SCOPES = ("read", "submit", "predict", "admin")

STATIC_PATHS = (
    "/static/arguments.js",
    "/static/chart.js",
    "/static/compare.js",
    "/static/dashboard.css",
    "/static/dashboard.js",
    "/static/datasets.js",
    "/static/distributions.js",
    "/static/element.js",
    "/static/favicon.svg",
    "/static/job.js",
    "/static/jobs.js",
    "/static/lineage.js",
    "/static/models.js",
    "/static/operate.js",
    "/static/optimizer.js",
    "/static/redoc.standalone.js",
    "/static/releases.js",
    "/static/report.js",
    "/static/service.js",
    "/static/swagger-ui-bundle.js",
    "/static/swagger-ui.css",
    "/static/text.js",
    "/static/train.js",
    "/static/try.js",
    "/static/upload.js",
    "/static/uplot.css",
    "/static/uplot.js",
)
PUBLIC_PATHS = frozenset(
    {"/", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/docs", "/redoc", "/openapi.json"}
).union(STATIC_PATHS)
"""All that is answered without a token: exact paths, GET and HEAD only. `/` is the dashboard's empty page."""

GUIDE = "/guide"
"""The documentation site; it and all below it is public as well."""

ADMIN_PATHS = frozenset({"/v1/tokens", "/v1/audit", "/v1/drain"})


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """Who calls."""

    id: str
    name: str
    scopes: frozenset[str] = field(default_factory=frozenset)


def is_public(path: str) -> bool:
    """Whether GET and HEAD need no token there."""
    return path in PUBLIC_PATHS or path == GUIDE or path.startswith(GUIDE + "/")


def scope_needed(method: str, path: str) -> str:
    """The scope that a request needs, from its method and path alone, so that no route can forget to ask."""
    if method == "POST" and is_prediction(path):
        return "predict" if (verb := verb_of(path)) is None else verb.scope
    if method == "POST" and path.startswith("/v1/models/") and path.endswith("/feedback"):
        return "predict"  # who asks knows first what the answer should have been
    if path in ADMIN_PATHS or path.startswith("/v1/tokens/"):
        return "admin"
    return "read" if method in {"GET", "HEAD"} else "submit"


def check_scope(token: TokenInfo, scope: str) -> None:
    """Raises Forbidden unless the token has the scope; `admin` has them all."""
    if scope not in token.scopes and "admin" not in token.scopes:
        raise Forbidden(f"This needs a token with the scope '{scope}'. An admin can make one: POST /v1/tokens.")


class Authenticator:
    """Tokens by secret, remembered for a second, so that predict asks the database once a second and a revocation is
    felt within two.

    While one task asks again, the others go on with what is remembered. When the database does not answer, a token
    that was good keeps working for `outage_s`: predicting does not need the database.

    Args:
        find: asks the registry, called in a thread; None means unknown or revoked.
        version: of the registry, equal to an earlier one only when nothing was committed since: then a token need not
            be asked for again, which would hold up whatever request comes in meanwhile.
    """

    def __init__(
        self,
        find: Callable[[str], TokenInfo | None],
        *,
        version: Callable[[], object] = lambda: None,
        fresh_s: float = 1.0,
        outage_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._find = find
        self._version = version
        self._fresh_s = fresh_s
        self._outage_s = outage_s
        self._known: dict[bytes, tuple[TokenInfo, float, object]] = {}
        self._asking: set[bytes] = set()

    async def __call__(self, secret: str) -> TokenInfo | None:
        # The digest as the key: how long a look-up takes then says nothing of the secrets that are stored.
        digest = hashlib.sha256(secret.encode()).digest()
        fresh = self.remembered(digest)
        if fresh is not None:
            return fresh
        known = self._known.get(digest)
        version = self._version()
        self._asking.add(digest)
        try:
            token = await asyncio.to_thread(self._find, secret)
        except Unavailable:
            if known is not None and self.clock() - known[1] < self._outage_s:
                return known[0]
            raise
        finally:
            self._asking.discard(digest)
        self._remember(digest, token, version)
        return token

    def remembered(self, digest: bytes) -> TokenInfo | None:
        """The token whose secret has this SHA-256 digest, while nothing needs to be asked."""
        known = self._known.get(digest)
        if known is None:
            return None
        age = self.clock() - known[1]
        if age < self._fresh_s or (age < 1.5 * self._fresh_s and digest in self._asking):
            return known[0]
        if known[2] is None or known[2] != self._version():
            return None
        self._remember(digest, known[0], known[2])
        return known[0]

    def forget(self) -> None:
        """Ask the registry again for each token, for example after a revocation in this process."""
        self._known.clear()

    def _remember(self, digest: bytes, token: TokenInfo | None, version: object) -> None:
        if token is None:
            self._known.pop(digest, None)
            return
        if len(self._known) >= 10_000:
            self._known.clear()
        self._known[digest] = (token, self.clock(), version)
