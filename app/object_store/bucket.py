"""An object store's bucket below a prefix: requests with retries and a deadline, errors as the service's own."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import structlog

from app.errors import InvalidInput, NotFound, Unavailable

log = structlog.get_logger("app.object_store")

T = TypeVar("T")

SCHEMES = ("s3://", "gs://", "az://")
_PART = 8 * 2**20
"""Bytes of one request of an upload or download; a large file has larger parts, for there may be 10,000 of them."""
_AT_ONCE = 4
"""Parts of one file under way at once: what bounds the memory, with `_PART`."""
_MOST_PARTS = 9_000
_PAUSES_S = (0.1, 2.0)


class Listed(NamedTuple):
    """An object of a listing; `changed` in seconds since 1970, by the store's clock."""

    path: str
    size: int
    changed: float


class Bucket:
    """A bucket below a prefix.

    Args:
        url: `s3://bucket/prefix`, `gs://…` or `az://container/prefix`. Credentials, region and endpoint come from the
            store's usual environment variables.
        patience_s: a request is tried again for so long while the store does not answer or answers 5xx.
        request_s: what one try may take.
    """

    def __init__(self, url: str, *, patience_s: float = 15.0, request_s: float = 30.0) -> None:
        if not url.startswith(SCHEMES) or not url.split("://", 1)[1].strip("/"):
            raise InvalidInput(f"ARTIFACTS_URL must be a path, or begin with one of {', '.join(SCHEMES)} and a bucket.")
        self.url, self._patience_s, self._request_s = url.rstrip("/"), patience_s, request_s
        self._opened: tuple[int, Any] | None = None
        self._opening = threading.Lock()

    def create(self, path: str, data: bytes) -> bool:
        """Writes a small object unless there is one. False: there is one with other content."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def put() -> bool:
            try:
                obstore.put(self._store(), path, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return False
            return True

        # A try whose answer was lost has written it: then the content is ours.
        return self._patiently(put) or self.read(path) == data

    def write(self, path: str, file: Path) -> None:
        """Uploads a file, a large one in parts; an object that is there is replaced, at once."""
        import obstore

        size = file.stat().st_size
        part = max(_PART, -(-size // _MOST_PARTS))

        def put() -> None:
            with file.open("rb") as content:
                if size <= part:
                    obstore.put(self._store(), path, content.read(), use_multipart=False)
                else:
                    obstore.put(self._store(), path, content, chunk_size=part, max_concurrency=_AT_ONCE)

        self._patiently(put)

    def read(self, path: str, start: int = 0, length: int | None = None) -> bytes:
        """An object's content, or a range of it. Raises NotFound."""
        import obstore

        def get() -> bytes:
            if length is None:
                return bytes(obstore.get(self._store(), path).bytes())
            return bytes(obstore.get_range(self._store(), path, start=start, length=length))

        return self._patiently(get)

    def read_end(self, path: str, limit: int) -> bytes:
        """The last bytes of an object. Raises NotFound."""
        size = self.size(path)
        return self.read(path, max(0, size - limit), min(size, limit)) if size else b""

    def size(self, path: str) -> int:
        """Bytes of an object. Raises NotFound."""
        import obstore

        return int(self._patiently(lambda: obstore.head(self._store(), path)["size"]))

    def sign(self, method: str, path: str, valid_s: float) -> str:
        """An address for one kind of request to one object, for whoever has it."""
        import obstore

        valid = timedelta(seconds=valid_s)
        return str(self._patiently(lambda: obstore.sign(self._store(), method, path, valid)))  # type: ignore[call-overload]

    def download(self, path: str, size: int, file: IO[bytes]) -> bytes:
        """Writes an object of a known size into a file, several ranges of it under way at once; the SHA-256 of what
        came. Raises NotFound."""
        found = hashlib.sha256()
        with ThreadPoolExecutor(_AT_ONCE, "download") as threads:
            starts = iter(range(0, size, _PART))
            waiting: deque[Future[bytes]] = deque()
            while True:
                for start in itertools.islice(starts, _AT_ONCE - len(waiting)):
                    waiting.append(threads.submit(self.read, path, start, min(_PART, size - start)))
                if not waiting:
                    return found.digest()
                part = waiting.popleft().result()
                found.update(part)
                file.write(part)

    def list(self, prefix: str) -> Iterator[Listed]:
        """The objects below `prefix/`, by name; read page by page."""
        import obstore

        pages = iter(obstore.list(self._store(), f"{prefix}/", chunk_size=1000))
        while True:
            # Not tried again by us: a listing that broke off would look as if it had ended.
            page = self._patiently(lambda: next(pages, None), again=False)
            if page is None:
                return
            for found in page:
                yield Listed(found["path"], found["size"], found["last_modified"].timestamp())

    def delete(self, paths: Iterable[str]) -> None:
        """Deletes objects; those that are gone already are no error."""
        import obstore

        def remove(some: list[str]) -> None:
            try:
                obstore.delete(self._store(), some)
            except FileNotFoundError:
                for path in some if len(some) > 1 else ():
                    remove([path])

        remaining = iter(paths)
        while some := list(itertools.islice(remaining, 500)):
            self._patiently(lambda some=some: remove(some))  # type: ignore[misc]

    def _store(self) -> Any:
        """The client, made in the process that uses it: its threads do not survive a fork."""
        with self._opening:
            if self._opened is None or self._opened[0] != os.getpid():
                from obstore.store import from_url

                retries = {"max_retries": 3, "retry_timeout": timedelta(seconds=self._patience_s)}
                options = {"allow_http": True, "timeout": timedelta(seconds=self._request_s)}
                made = from_url(self.url, client_options=options, retry_config=retries)  # type: ignore[call-overload]
                self._opened = os.getpid(), made
            return self._opened[1]

    def _patiently(self, request: Callable[[], T], *, again: bool = True) -> T:
        """Tries a request again, with growing pauses, until it is answered or the patience is over.

        Raises:
            NotFound: the object is not there.
            Unavailable: the store did not answer, or refused us.
        """
        from obstore import exceptions

        deadline = time.monotonic() + self._patience_s
        pause, longest = _PAUSES_S
        while True:
            try:
                return request()
            except FileNotFoundError:
                raise NotFound("There is no such artifact.") from None
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError, exceptions.NotSupportedError):
                raise
            except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
                log.error("the artifact store refuses", why=_first_line(error))
                raise Unavailable(
                    "The artifact store refuses this service. The operator finds why in the log."
                ) from None
            except exceptions.BaseError as error:
                if not again or time.monotonic() + pause > deadline:
                    log.warning("the artifact store does not answer", why=_first_line(error))
                    raise Unavailable("The artifact store does not answer.", retry_after_s=5.0) from None
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, longest)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
