"""The artifact store in an object store. Files are written and read in this host's cache; `publish` sends them, `hold`
fetches them."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import structlog

from app.errors import Conflict, InvalidInput, NotFound, TooLarge, Unavailable
from app.object_store.bucket import Bucket
from app.object_store.cache import Cache
from app.object_store.manifest import Manifest, StoredFile, manifest_path
from app.storage import Holding, SignedFile, Storage, remove_tree

log = structlog.get_logger("app.object_store")

_INDEX = ".index"
_ANOTHER = "The artifact in the store is not the one on record."
_UNFIT = (
    "The object store behind ARTIFACTS_URL overwrites objects that should only be created (it ignores If-None-Match). "
    "Use a store with conditional writes: docs/how-to/object-store.md names some."
)


class ObjectStorage(Storage):
    """Artifacts in a bucket. An object under a key means nothing until the key's manifest is there, which is written
    last and never replaced; and that means nothing until a row of the registry points to the key."""

    remote = True

    def __init__(self, bucket: Bucket, cache: Cache) -> None:
        super().__init__(cache.files)
        self._bucket, self._cache = bucket, cache
        self._fit = False

    def check(self) -> None:
        path = f"probe/{os.urandom(8).hex()}"
        if self._fit:
            with contextlib.suppress(NotFound):
                self._bucket.read(path)
            return
        try:
            self._bucket.create(path, b"1")
            refused = not self._bucket.create(path, b"2")
            self._bucket.delete([path])
        except NotFound:
            raise InvalidInput(f"There is no bucket {self._bucket.url}. Make it first.") from None
        if not refused:
            raise InvalidInput(_UNFIT)
        self._fit = True

    def publish(self, key: str) -> None:
        manifest = Manifest.of(self._written(key))
        lease = self._cache.lease(key)
        try:
            for file in manifest.files:
                self._bucket.write(key + file.name, self._local(key, file.name))
            if not self._bucket.create(manifest_path(key), manifest.encode()):
                raise Conflict("Another process published the same artifact.")
            self._cache.add(key, manifest)
        finally:
            lease.release()
        self._cache.trim()

    def mirror(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._bucket.write(key, self.path(key))

    def hold(self, key: str, digest: str | None = None) -> Holding:
        path = self.path(key)
        lease = self._cache.lease(key)
        try:
            if not self._have(key, digest):
                self._fetch(key, digest)
        except BaseException:
            lease.release()
            raise
        return Holding(path, lease.release)

    def occupy(self, key: str) -> Holding:
        return Holding(self.path(key), self._cache.lease(key).release)

    def signed(self, key: str, digest: str, valid_s: float) -> list[SignedFile]:
        manifest = Manifest.decode(self._bucket.read(manifest_path(key)))
        if manifest.digest != digest:
            raise NotFound(_ANOTHER)
        return [
            SignedFile(file.name.removeprefix("/"), file.bytes, file.sha256, address)
            for file in manifest.files
            for address in [self._bucket.sign("GET", key + file.name, valid_s)]
        ]

    def upload_address(self, upload_id: str, valid_s: float) -> str:
        return self._bucket.sign("PUT", self.upload_key(upload_id), valid_s)

    def take_upload(self, upload_id: str, file: Path, most_bytes: int) -> str:
        key = self.upload_key(upload_id)
        size = self._bucket.size(key)
        if size > most_bytes:
            raise TooLarge(f"The file has {size} bytes; at most {most_bytes} are taken.")
        with file.open("xb") as content:
            return self._bucket.download(key, size, content).hex()

    def drop(self, key: str) -> None:
        self._cache.forget(key)
        super().remove(key)

    def remove(self, key: str) -> None:
        self.drop(key)
        # Manifests first: what is seen is whole.
        manifests = [found.path for found in self._bucket.list(manifest_path(key))]
        self._bucket.delete([manifest_path(key), *manifests])
        self._bucket.delete(itertools.chain([key], (found.path for found in self._bucket.list(key))))

    def discard(self, key: str) -> None:
        try:
            self.remove(key)
        except Unavailable:
            log.warning("not removed for now", key=key)

    def remove_files(self, key: str) -> None:
        self._cache.forget(key)
        super().remove_files(key)
        self._bucket.delete([manifest_path(key)])
        folder = key.rpartition("/")[0]
        self._bucket.delete(found.path for found in self._bucket.list(folder) if found.path.startswith(f"{key}."))

    def log_keys(self, job_id: str, attempt: int, seats: int = 1) -> list[str]:
        first = super().log_keys(job_id, attempt)
        return first + [f"{self.attempt_key(job_id, attempt)}/log-{number}.txt" for number in range(1, seats)]

    def read_end(self, key: str, limit: int) -> bytes | None:
        here = super().read_end(key, limit)  # where it is written
        if here is not None:
            return here
        with contextlib.suppress(NotFound):
            return self._bucket.read_end(key, limit)
        return None

    def stored_bytes(self, key: str) -> int:
        size = sum(found.size for found in self._bucket.list(key))
        with contextlib.suppress(NotFound):
            size += self._bucket.size(key)
        folder = key.rpartition("/")[0]
        return size or sum(found.size for found in self._bucket.list(folder) if found.path.startswith(f"{key}."))

    def exists(self, key: str) -> bool:
        if super().exists(key):
            return True
        with contextlib.suppress(NotFound):
            return bool(self._bucket.read(manifest_path(key)))
        return False

    def names(self, key: str) -> list[str]:
        rest = (found.path.removeprefix(f"{key}/") for found in self._bucket.list(key))
        return sorted(name for name in rest if "/" not in name)

    def keys(self, prefix: str) -> list[str]:
        return [key for key, _ in self.found(prefix)]

    def found(self, prefix: str, depth: int = 1) -> Iterator[tuple[str, float]]:
        """As of a path, but the last change at any depth counts: an object store has no directories."""
        parts = prefix.count("/") + 1 + depth
        objects = self._bucket.list(prefix)
        deep = (found for found in objects if found.path.count("/") + 1 >= parts)
        for key, below in itertools.groupby(deep, lambda found: "/".join(found.path.split("/")[:parts])):
            yield key, max(found.changed for found in below)

    def quiet(self, key: str, now: float) -> float:
        changed = max((found.changed for found in self._bucket.list(key)), default=None)
        if changed is None:
            raise NotFound("There is no such artifact, or it is being removed.")
        return now - changed

    def _written(self, key: str) -> dict[str, Path]:
        """The files of an artifact that was written here, by what follows the key in their names."""
        path = self.path(key)
        if path.is_dir():
            files = {f"/{name}": file for name, file in self._files(key)}
        elif path.is_file():
            files = {"": path}
        else:
            found = (file for file in path.parent.glob(f"{path.name}.*") if ".tmp-" not in file.name)
            files = {file.name.removeprefix(path.name): file for file in found}
        if not files:
            raise NotFound("There is no such artifact.")
        return files

    def _have(self, key: str, digest: str | None) -> bool:
        known = self._cache.manifest(key)
        return known is not None and digest in (None, known.digest)

    def _fetch(self, key: str, digest: str | None) -> None:
        lock = self._cache.fetching(key)
        try:
            if self._have(key, digest):
                return  # another process has fetched it meanwhile
            manifest = Manifest.decode(self._bucket.read(manifest_path(key)))
            if digest not in (None, manifest.digest):
                raise NotFound(_ANOTHER)
            self._cache.trim(room_for=manifest.size)
            with self._cache.incoming() as directory:
                for file in manifest.files:
                    self._download(key, file, directory)
                self._put_in_place(key, manifest, directory)
            self._cache.add(key, manifest)
        finally:
            lock.release()

    def _download(self, key: str, file: StoredFile, directory: Path) -> None:
        target = directory / f"it{file.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as content:
            came = self._bucket.download(key + file.name, file.bytes, content)
        if came.hex() != file.sha256:
            log.error("an artifact is damaged in the store", key=key, file=file.name)
            raise NotFound("The artifact is damaged in the store.")

    def _put_in_place(self, key: str, manifest: Manifest, directory: Path) -> None:
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        if (directory / "it").exists():  # a directory, or a file
            self._cache.forget(key)
            remove_tree(path)
            (directory / "it").rename(path)
            return
        for file in sorted(manifest.files, key=lambda file: file.name == _INDEX):
            (directory / f"it{file.name}").replace(self._local(key, file.name))

    def _local(self, key: str, name: str) -> Path:
        path = self.path(key)
        return path / name[1:] if name.startswith("/") else path.with_name(path.name + name)
