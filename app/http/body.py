"""Reading request bodies within limits: bytes, time, and bytes after decompression."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator, MutableMapping
from typing import Any, cast

from app.errors import InvalidInput, TooLarge
from app.http.problems import SlowBody

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

SLOWEST_BYTES_PER_S = 32 * 1024
"""A body gets the time limit and then one more second for each so many bytes that came."""
_PIECE = 2**20
_FED = 16 * 1024
"""Bytes that zlib is given at once: it copies what it leaves, at each end of a member and at each full piece."""
_MOST_MEMBERS, _MEMBER_BYTES = 16, 1024
"""Gzip members that a body may have, and one more per so many bytes: starting one costs more than a byte's worth."""


class ClientGone(Exception):
    """The client closed the connection before its body was complete."""


class BoundedBody:
    """One request's body, counted, timed and inflated. It is itself an ASGI `receive`.

    Every way of reading raises TooLarge, SlowBody, InvalidInput (bad gzip) or ClientGone.

    Args:
        limit: most bytes, before and after decompression.
        timeout_s: the body has to be complete after so long, plus a second for each `SLOWEST_BYTES_PER_S` received.
        gzipped: the request has `Content-Encoding: gzip`.
        count: called with the number of bytes that are in memory now, each time that they become more; may refuse.
    """

    def __init__(
        self,
        receive: Receive,
        *,
        limit: int,
        timeout_s: float,
        gzipped: bool,
        count: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._count = count
        self._receive = receive
        self._limit = limit
        self._timeout_s = timeout_s
        self._inflater = _Inflater(limit) if gzipped else None
        self._started = asyncio.get_running_loop().time()
        self._came = 0
        self.complete = False
        """Whether its end was read."""
        self._chunks: AsyncIterator[bytes] | None = None
        self._told_end = False

    async def whole(self) -> bytes | bytearray:
        """The complete body, in memory once."""
        if self._inflater is None:
            body, complete = await self._chunk()
            self._count(len(body))
            if complete:
                return body
            whole = bytearray(body)
        else:
            whole = bytearray()
        async for chunk in self.chunks():
            whole += chunk
            self._count(len(whole))
        return whole

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces of at most 1 MiB, or as they came."""
        complete = False
        while not complete:
            body, complete = await self._chunk()
            if self._inflater is None:
                yield body
            else:
                pieces = self._inflater.feed(body)
                piece = next(pieces, None)
                while piece is not None:
                    yield piece
                    if len(piece) == _PIECE:  # there is more, and each takes some milliseconds
                        piece = await asyncio.to_thread(next, pieces, None)
                    else:
                        piece = next(pieces, None)
        if self._inflater is not None:
            self._inflater.finish()

    async def __call__(self) -> Message:
        if self._chunks is None:
            self._chunks = self.chunks()
        async for chunk in self._chunks:
            return {"type": "http.request", "body": chunk, "more_body": True}
        if self._told_end:
            return await self._receive()  # only a disconnect can follow
        self._told_end = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _chunk(self) -> tuple[bytes, bool]:
        deadline = self._started + self._timeout_s + self._came / SLOWEST_BYTES_PER_S
        try:
            message = await _before(deadline, cast(Coroutine[Any, Any, Message], self._receive()))
        except TimeoutError:
            raise SlowBody(
                f"The body was not complete in time. It has {self._timeout_s:g} s, and one more for each "
                f"{SLOWEST_BYTES_PER_S} bytes."
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        self._came += len(body)
        if self._came > self._limit:
            raise too_large(self._limit)
        self.complete = not message.get("more_body", False)
        return body, self.complete


async def _before(deadline: float, coming: Coroutine[Any, Any, Message]) -> Message:
    """The message, which nearly always is there already: only when it is not, a timer is set. Timers cost more than all
    else that the admission layer does, and every prediction passes here.

    Raises:
        TimeoutError: it did not come before `deadline`, by the loop's clock.
    """
    try:
        awaited = coming.send(None)
    except StopIteration as there:
        return cast(Message, there.value)
    async with asyncio.timeout_at(deadline):
        return await _Rest(coming, awaited)


class _Rest:
    """Awaits what is left of a coroutine that waits for `awaited` now."""

    def __init__(self, coroutine: Coroutine[Any, Any, Message], awaited: Any) -> None:
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, Message]:
        try:
            yield self._awaited
        except BaseException as error:
            self._coroutine.throw(error)
            raise
        return (yield from self._coroutine.__await__())


class _Inflater:
    """Gzip, piece by piece, so that a small chunk never becomes a large one in memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._made = 0
        self._fed = 0
        self._members = 1
        self._member = zlib.decompressobj(31)

    def feed(self, data: bytes) -> Iterator[bytes]:
        view = memoryview(data)
        for start in range(0, len(data), _FED):
            yield from self._feed(bytes(view[start : start + _FED]))

    def _feed(self, data: bytes) -> Iterator[bytes]:
        self._fed += len(data)
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(31)
                self._members += 1
                if self._members > _MOST_MEMBERS + self._fed // _MEMBER_BYTES:
                    raise InvalidInput("The gzip body has too many small members. Compress it in one.")
            try:
                piece = self._member.decompress(data, _PIECE)
            except zlib.error:
                raise InvalidInput("The body is not valid gzip, though its Content-Encoding says so.") from None
            self._made += len(piece)
            if self._made > self._limit:
                raise too_large(self._limit, " after decompression")
            data = self._member.unconsumed_tail or self._member.unused_data
            if piece:
                yield piece

    def finish(self) -> None:
        if not self._member.eof:
            raise InvalidInput("The gzip body ends too early.")


def too_large(limit: int, when: str = "") -> TooLarge:
    return TooLarge(f"The body is larger than the limit of {limit} bytes{when}.")
