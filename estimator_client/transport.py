"""HTTP with retries and pages. Made from `async_transport.py` by scripts/sync_client.py: change that one."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import httpx

from estimator_client.authorities import authorities
from estimator_client.errors import ApiError, Json, Unreachable
from estimator_client.retry import Attempts, seconds_of
from estimator_client.version import __version__

_SAFE = frozenset({"GET", "HEAD", "PUT"})
_PIECE_BYTES = 2**18
_STORE_TIMEOUT = httpx.Timeout(None, connect=30.0)


class Transport:
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
        self._http = httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {token}", "User-Agent": f"estimator-client/{__version__}"},
            timeout=timeout_s,
            trust_env=False,
            verify=authorities(self.address),
        )

    def close(self) -> None:
        self._http.close()

    def json(self, method: str, path: str, **options: Any) -> Json:
        """The answer's JSON object. Raises ApiError and Unreachable."""
        return dict((self.send(method, path, **options)).json())

    def text(self, method: str, path: str, **options: Any) -> str:
        return (self.send(method, path, **options)).text

    def delete(self, path: str, dry_run: bool) -> Json | None:
        """None; with `dry_run` what a deletion would remove, and nothing is deleted."""
        if dry_run:
            return self.json("DELETE", path, repeatable=True, params={"dry_run": "true"})
        self.send("DELETE", path)
        return None

    def send(self, method: str, path: str, *, repeatable: bool | None = None, **options: Any) -> httpx.Response:
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
        return checked(_last_answer(self._http, self.address, method, path, attempts, anew))

    def put_file(self, address: str, file: IO[bytes]) -> None:
        """Writes a file to an address of the object store, without the token. Raises ApiError and Unreachable."""
        # Azure asks for the kind of blob; other stores do not mind
        headers = {"Content-Length": str(file.seek(0, io.SEEK_END)), "x-ms-blob-type": "BlockBlob"}

        def anew() -> Json:
            file.seek(0)
            return {"content": _pieces(file), "headers": headers}

        attempts = Attempts(self._patience_s, repeatable=True)
        with httpx.Client(timeout=_STORE_TIMEOUT, trust_env=False, verify=authorities(address)) as store:
            answer = _last_answer(store, httpx.URL(address).host, "PUT", address, attempts, anew)
        if answer.is_error:
            problem = {"title": answer.reason_phrase, "detail": "The object store did not take the file."}
            raise ApiError(answer.status_code, problem, seconds_of(answer.headers.get("retry-after")))

    def pages(self, path: str, key: str, params: dict[str, Any] | None = None) -> Iterator[Json]:
        """Every item of a list, page after page; a page is asked for when its first item is."""
        params = dict(params or {})
        while True:
            page = self.json("GET", path, params=params)
            for item in page[key]:
                yield item
            if not page.get("next_page_token"):
                return
            params["page_token"] = page["next_page_token"]

    @contextmanager
    def stream(self, path: str, **options: Any) -> Iterator[httpx.Response]:
        """An answer whose body is read bit by bit; asked for again while the service is busy.

        httpx.TransportError comes through while it is read.
        """
        attempts = Attempts(self._patience_s, repeatable=True)
        while True:
            with self._http.stream("GET", path, **options) as answer:
                wait = attempts.wait_after(answer.status_code, answer.headers.get("retry-after"))
                if wait is None:
                    if answer.is_error:
                        answer.read()
                    yield checked(answer)
                    return
            time.sleep(wait)

    def download(self, path: str, file: IO[bytes], **options: Any) -> None:
        """Writes an answer's body to a file."""
        try:
            with self.stream(path, **options) as answer:
                for part in answer.iter_bytes():
                    file.write(part)
        except httpx.TransportError as error:
            raise _unreachable(self.address, error) from error


def _last_answer(
    http: httpx.Client, place: str, method: str, path: str, attempts: Attempts, anew: Callable[[], Json]
) -> httpx.Response:
    """The answer to the last of as many attempts as it takes, which may be an error. Raises Unreachable.

    Args:
        place: who should answer, for a message.
        anew: the request's options for one attempt.
    """
    while True:
        try:
            answer = http.request(method, path, **anew())
        except httpx.TransportError as error:
            wait = attempts.wait_after(None)
            if wait is None:
                raise _unreachable(place, error) from error
        else:
            wait = attempts.wait_after(answer.status_code, answer.headers.get("retry-after"))
            if wait is None:
                return answer
        time.sleep(wait)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
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
