"""The response of one request on its way out: headers for all, and a client that still sends its body."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from app.http.body import BoundedBody, Message, Receive
from app.http.problems import Headers, problem

Send = Callable[[Message], Awaitable[None]]

_LINGER_S, _LINGER_BYTES = 1.0, 8 * 2**20


class OutgoingResponse:
    """An ASGI `send` that adds headers and knows how much of the request body was read.

    Attributes:
        headers: added to the response.
        status: sent to the client; 0 while none was.
        body_pending: the request has a body that was not read yet.
        upload: the request's body, if the application streams it.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._cut = False
        self.headers: Headers = [(b"x-content-type-options", b"nosniff")]
        self.status = 0
        self.body_pending = False
        self.upload: BoundedBody | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.headers]
            if self.upload is not None and not self.upload.complete:
                self._cut = True  # answered before the end of the upload, the rest of which is not awaited
                message["headers"].append((b"connection", b"close"))
        elif self._cut and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def send_empty(self, status: int) -> None:
        """A response without a body."""
        await self.send({"type": "http.response.start", "status": status, "headers": []})
        await self.send({"type": "http.response.body", "body": b""})

    async def refuse(self, error: Exception, path: str) -> None:
        """The error as a response, unless one has begun: the server then cuts the connection, so that no client takes
        half a response for a whole one."""
        if self.status:
            return
        status, headers, body = problem(error, path)
        if self.body_pending:
            headers.append((b"connection", b"close"))
        headers.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        if self.body_pending:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
            await self._linger()
            body = b""
        await self._send({"type": "http.response.body", "body": body})

    async def _linger(self) -> None:
        """Drops what the client still sends, for a moment: closing at once could make its system drop the response."""
        dropped = 0
        try:
            async with asyncio.timeout(_LINGER_S):
                while dropped < _LINGER_BYTES:
                    message = await self._receive()
                    dropped += len(message.get("body", b""))
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return
        except TimeoutError:
            pass
