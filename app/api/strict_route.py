"""Routes whose JSON bodies are read strictly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.serving.large_body import INLINE_UNTYPED_BYTES
from app.strict_json import read_json


class StrictRequest(Request):
    async def json(self) -> Any:
        body = await self.body()
        if len(body) <= INLINE_UNTYPED_BYTES:
            return read_json(body)
        await self.app.state.app_state.large_bodies.check_document(body)
        return msgspec.json.decode(body)  # bounded in its numbers of values and keys: some milliseconds


class StrictRoute(APIRoute):
    """A route whose JSON body is read by `read_json`."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            response: Response = await handle(StrictRequest(request.scope, request.receive))
            return response

        return strict
