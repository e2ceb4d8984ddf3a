"""Pages for people: the documentation and the dashboard. Everything in them comes from this server."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from app.http.auth import STATIC_PATHS
from app.http.public import Page

_WEB = Path(__file__).parents[1] / "web"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
#: the documentation viewers start from a line of script in the page, and style their elements themselves
DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'"
)
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

#: an image at another host, which Redoc asks for at each load
_REDOC_LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Estimator Service: API</title>
<link rel="icon" href="/static/favicon.svg" type="image/svg+xml">
<style>body { margin: 0; }</style>
"""
_SWAGGER = f"""{_HEAD}<link rel="stylesheet" href="/static/swagger-ui.css"></head>
<body><div id="swagger-ui"></div><script src="/static/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({{url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null}});
</script>
</body></html>
"""
_REDOC = f"""{_HEAD}</head>
<body><redoc spec-url="/openapi.json"></redoc><script src="/static/redoc.standalone.js"></script></body></html>
"""


def pages() -> dict[str, Page]:
    """All pages and static files, by their paths, read once."""
    made = {
        "/": _page((_WEB / "dashboard.html").read_bytes(), _PAGE_POLICY),
        "/docs": _page(_SWAGGER.encode(), DOCS_POLICY),
        "/redoc": _page(_REDOC.encode(), DOCS_POLICY),
    }
    for url, path in _files().items():
        body = path.read_bytes().replace(_REDOC_LOGO, b"/static/favicon.svg")
        made[url] = Page.of(body, _TYPES[path.suffix], {"Cache-Control": "no-cache"})
    return made


def _files() -> dict[str, Path]:
    """The public static files: our own, and the viewers' from the package `fastapi_offline`."""
    spec = importlib.util.find_spec("fastapi_offline")
    assert spec is not None
    assert spec.origin is not None
    viewers = Path(spec.origin).parent / "static"
    found = {}
    for url in STATIC_PATHS:
        name = url.rpartition("/")[2]
        own = _WEB / "static" / name
        found[url] = own if own.is_file() else viewers / name
    return found


def _page(html: bytes, policy: str) -> Page:
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}
    return Page.of(html, "text/html; charset=utf-8", headers)
