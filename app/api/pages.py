"""Pages for people: the documentation and the dashboard. Everything in them comes from this server."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from app.http.auth import STATIC_PATHS

router = APIRouter(include_in_schema=False)

_WEB = Path(__file__).parents[1] / "web"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".png": "image/png"}
#: the documentation viewers start from a line of script in the page, and style their elements themselves
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'"
)
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Estimator Service: API</title><link rel="icon" href="/static/favicon.png"><style>body { margin: 0; }</style>
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


@router.get("/docs")
async def docs() -> HTMLResponse:
    return _page(_SWAGGER, _DOCS_POLICY)


@router.get("/redoc")
async def redoc() -> HTMLResponse:
    return _page(_REDOC, _DOCS_POLICY)


@router.get("/")
def dashboard() -> HTMLResponse:
    return _page((_WEB / "dashboard.html").read_text(), _PAGE_POLICY)


@router.get("/static/{name}")
def static(name: str, request: Request) -> Response:
    path = _files().get(f"/static/{name}")
    if path is None:
        return Response(status_code=404)
    headers = {"Cache-Control": "no-cache"}
    file = FileResponse(path, media_type=_TYPES[path.suffix], headers=headers, stat_result=path.stat())
    if request.headers.get("if-none-match") == file.headers["etag"]:
        return Response(status_code=304, headers=headers | {"ETag": file.headers["etag"]})
    return file


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


def _page(html: str, policy: str) -> HTMLResponse:
    return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"})
