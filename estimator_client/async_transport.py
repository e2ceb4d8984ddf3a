"""HTTP with retries and pages, asynchronous. `transport.py` is made from this file by `scripts/sync_client.py`."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import IO, Any

import httpx

from estimator_client.authorities import authorities
from estimator_client.errors import ApiError, Json, Unreachable
from estimator_client.retry import Attempts, seconds_of
from estimator_client.version import __version__

_SAFE = frozenset({"GET", "HEAD", "PUT"})
_PIECE_BYTES = 2**18
_STORE_TIMEOUT = httpx.Timeout(None, connect=30.0)


class AsyncTransport:
    """Requests to one service.

    Args:
        address: of the service, for example http://127.0.0.1:8000.
        token: its secret.
        timeout_s: seconds without any byte after which a request is given up.
        patience_s: seconds during which a request is tried again that the service could not take (429, 503: after the
            time that `Retry-After` says) or that got no answer and may be repeated; 0: each request is sent once.
    """

    def __init__(self, address: str, token: str, *, timeout_s: float, patience_s: float) -> None:
        self.address = address.rstrip("/")
        self._patience_s = patience_s
        self._http = httpx.AsyncClient(
            base_url=self.address,
            headers={"Authorization": f"Bearer {token}", "User-Agent": f"estimator-client/{__version__}"},
            timeout=timeout_s,
            trust_env=False,
            verify=authorities(self.address),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def json(self, method: str, path: str, **options: Any) -> Json:
        """The answer's JSON object. Raises ApiError and Unreachable."""
        return dict((await self.send(method, path, **options)).json())

    async def text(self, method: str, path: str, **options: Any) -> str:
        return (await self.send(method, path, **options)).text

    async def delete(self, path: str, dry_run: bool) -> Json | None:
        """None; with `dry_run` what a deletion would remove, and nothing is deleted."""
        if dry_run:
            return await self.json("DELETE", path, repeatable=True, params={"dry_run": "true"})
        await self.send("DELETE", path)
        return None

    async def send(self, method: str, path: str, *, repeatable: bool | None = None, **options: Any) -> httpx.Response:
        """A good answer, after as many attempts as there is patience for.

        Args:
            repeatable: whether the request may be carried out twice; None: as its method says.
            options: as of `httpx.Client.request`. Files are read from their beginning in each attempt.
        """

        def anew() -> Json:
            for _, file in (options.get("files") or {}).values():
                if hasattr(file, "seek"):
                    file.seek(0)
            return options

        attempts = Attempts(self._patience_s, method in _SAFE if repeatable is None else repeatable)
        return checked(await _last_answer(self._http, self.address, method, path, attempts, anew))

    async def put_file(self, address: str, file: IO[bytes]) -> None:
        """Writes a file to an address of the object store, without the token. Raises ApiError and Unreachable."""
        # Azure asks for the kind of blob; other stores do not mind
        headers = {"Content-Length": str(file.seek(0, io.SEEK_END)), "x-ms-blob-type": "BlockBlob"}

        def anew() -> Json:
            file.seek(0)
            return {"content": _pieces(file), "headers": headers}

        attempts = Attempts(self._patience_s, repeatable=True)
        async with httpx.AsyncClient(timeout=_STORE_TIMEOUT, trust_env=False, verify=authorities(address)) as store:
            answer = await _last_answer(store, httpx.URL(address).host, "PUT", address, attempts, anew)
        if answer.is_error:
            problem = {"title": answer.reason_phrase, "detail": "The object store did not take the file."}
            raise ApiError(answer.status_code, problem, seconds_of(answer.headers.get("retry-after")))

    async def pages(self, path: str, key: str, params: dict[str, Any] | None = None) -> AsyncIterator[Json]:
        """Every item of a list, page after page; a page is asked for when its first item is."""
        params = dict(params or {})
        while True:
            page = await self.json("GET", path, params=params)
            for item in page[key]:
                yield item
            if not page.get("next_page_token"):
                return
            params["page_token"] = page["next_page_token"]

    @asynccontextmanager
    async def stream(self, path: str, **options: Any) -> AsyncIterator[httpx.Response]:
        """An answer whose body is read bit by bit; asked for again while the service is busy.

        httpx.TransportError comes through while it is read.
        """
        attempts = Attempts(self._patience_s, repeatable=True)
        while True:
            async with self._http.stream("GET", path, **options) as answer:
                wait = attempts.wait_after(answer.status_code, answer.headers.get("retry-after"))
                if wait is None:
                    if answer.is_error:
                        await answer.aread()
                    yield checked(answer)
                    return
            await asyncio.sleep(wait)

    async def download(self, path: str, file: IO[bytes], **options: Any) -> None:
        """Writes an answer's body to a file."""
        try:
            async with self.stream(path, **options) as answer:
                async for part in answer.aiter_bytes():
                    file.write(part)
        except httpx.TransportError as error:
            raise _unreachable(self.address, error) from error


async def _last_answer(
    http: httpx.AsyncClient, place: str, method: str, path: str, attempts: Attempts, anew: Callable[[], Json]
) -> httpx.Response:
    """The answer to the last of as many attempts as it takes, which may be an error. Raises Unreachable.

    Args:
        place: who should answer, for a message.
        anew: the request's options for one attempt.
    """
    while True:
        try:
            answer = await http.request(method, path, **anew())
        except httpx.TransportError as error:
            wait = attempts.wait_after(None)
            if wait is None:
                raise _unreachable(place, error) from error
        else:
            wait = attempts.wait_after(answer.status_code, answer.headers.get("retry-after"))
            if wait is None:
                return answer
        await asyncio.sleep(wait)


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        yield piece


def _unreachable(place: str, error: httpx.TransportError) -> Unreachable:
    return Unreachable(f"Could not connect to {place}: {error or type(error).__name__}")


def checked(answer: httpx.Response) -> httpx.Response:
    """The answer; raises ApiError when it is an error."""
    if not answer.is_error:
        return answer
    try:
        problem = dict(answer.json())
    except ValueError:
        problem = {"title": answer.reason_phrase, "detail": "The answer is not one of this service."}
    raise ApiError(answer.status_code, problem, seconds_of(answer.headers.get("retry-after")))
