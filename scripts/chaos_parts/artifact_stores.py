"""Where a chaos run keeps its artifacts: a path in the data directory, or moto's S3 behind a proxy that has faults."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from app.object_store.bucket import Bucket
from app.object_store.cache import Cache
from tests.object_store import stores as servers

_FAULTS = {"store_down": "down", "store_slow": "slow", "store_500": "500"}
_LASTS_S = (1.0, 5.0)


class PathStore:
    """The default: a directory."""

    faults: tuple[str, ...] = ()

    def __init__(self, data_dir: Path) -> None:
        self.environment: dict[str, str] = {"ARTIFACTS_URL": ""}
        self._directory = data_dir / "artifacts"

    def files(self) -> Path:
        """A directory with all artifacts as they are now."""
        return self._directory

    def strike(self, kind: str, draw: random.Random) -> bool:
        return False

    def wait(self) -> None:
        """Until no fault is under way."""

    def close(self) -> None:
        pass


class S3Store(PathStore):
    """An S3 that all processes see through one proxy, and one cache for all of them."""

    faults = (*_FAULTS, "cache_emptied")

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._open = ExitStack()
        self._endpoint = self._open.enter_context(servers.store())
        self._proxy = servers.FaultProxy(self._endpoint)
        self._open.callback(self._proxy.close)
        self._url = f"s3://{servers.BUCKET}/{os.urandom(8).hex()}"
        self._cache = data_dir / "cache"
        self.environment = {"ARTIFACTS_URL": self._url, **servers.environment(self._proxy.endpoint)}
        self._fault: threading.Thread | None = None

    def files(self) -> Path:
        shutil.rmtree(self._directory, ignore_errors=True)
        os.environ.update(servers.environment(self._endpoint))
        copy_bucket(self._url, self._directory)
        return self._directory

    def strike(self, kind: str, draw: random.Random) -> bool:
        if kind == "cache_emptied":  # but for what is in use
            Cache(self._cache, budget=1, grace_s=1e9).trim()
            return True
        if self._fault is not None and self._fault.is_alive():
            return False
        lasts = draw.uniform(*_LASTS_S)
        self._proxy.break_down(_FAULTS[kind], delay_s=lasts)
        self._fault = threading.Thread(target=self._mend_after, args=(lasts,), name="store")
        self._fault.start()
        return True

    def wait(self) -> None:
        if self._fault is not None:
            self._fault.join()

    def close(self) -> None:
        self.wait()
        self._open.close()

    def _mend_after(self, seconds: float) -> None:
        time.sleep(seconds)
        self._proxy.mend()


def copy_bucket(url: str, directory: Path) -> None:
    """All artifacts as files, for the checker. The store's variables are in the environment."""
    bucket = Bucket(url)
    for prefix in ("datasets", "exports", "jobs", "predictions"):
        for found in bucket.list(prefix):
            file = directory / found.path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as content:
                bucket.download(found.path, found.size, content)


def make(name: str, data_dir: Path) -> PathStore:
    return S3Store(data_dir) if name == "s3" else PathStore(data_dir)
