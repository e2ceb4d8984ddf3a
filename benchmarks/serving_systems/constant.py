"""The limit: uvicorn with an ASGI function that answers a constant as long as a prediction."""

from __future__ import annotations

from typing import Any

_BODY = b'{"predictions":[' + b"0" * 230 + b"]}"
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})
