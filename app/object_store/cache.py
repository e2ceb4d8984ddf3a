"""Artifacts on this host: those that are written here, and those that were fetched.

    files/<key>      an artifact's files, under the same keys as in the store
    have/<key>       its manifest, once it is whole here; its time of change is that of its last use
    locks/<entry>    shared by those who use an entry, alone for whoever removes it
    incoming/…       what is being fetched

An entry, which is removed as a whole, is `jobs/<job>/<attempt>` or the first two parts of a key. All processes of a
host share a cache; nothing of it is needed after a restart of the host.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.errors import NotFound
from app.object_store.file_lock import FileLock, take_patiently
from app.object_store.manifest import Manifest
from app.storage import remove_tree

log = structlog.get_logger("app.object_store")

_UNUSED_S = 7 * 86_400.0
"""What nobody used for so long goes, room or not: it may be deleted in the store."""
_WAIT_S = 600.0


def entry_of(key: str) -> str:
    parts = key.split("/")
    return "/".join(parts[: 3 if parts[0] == "jobs" else 2])


def _boot_id() -> str:
    """Another one after each start of the host. What was written shortly before a power failure may be half there."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


@dataclass
class _Entry:
    bytes: int = 0
    used_at: float = 0.0


class Cache:
    """The cache below `root`.

    Args:
        budget: bytes of whole artifacts; beyond it the least recently used go, unless they are in use.
        grace_s: files that belong to no whole artifact go when nothing was changed for so long, unless they are in use.
    """

    def __init__(self, root: Path, *, budget: int, grace_s: float) -> None:
        self.root, self._budget, self._grace_s = root, budget, grace_s
        self.files = root / "files"
        self._have, self._locks, self._incoming = root / "have", root / "locks", root / "incoming"
        self._boot = _boot_id()
        self.files.mkdir(parents=True, exist_ok=True)

    def lease(self, key: str) -> FileLock:
        """Keeps an entry here, whether there is something of it or not."""
        return take_patiently(self._lock_path(entry_of(key)), wait_s=_WAIT_S)

    def fetching(self, key: str) -> FileLock:
        """Held by the one process that fetches a key."""
        name = "fetch+" + key.replace("/", "+")
        return take_patiently(self._locks / name, alone=True, wait_s=_WAIT_S)

    def manifest(self, key: str) -> Manifest | None:
        """Of an artifact that is whole here; None: it is not. Notes that it is used."""
        path = self._have / key
        try:
            content = json.loads(path.read_bytes())
            if content["boot"] != self._boot:
                return None
            found = Manifest.decode(content["manifest"].encode())
            os.utime(path)
        except (OSError, ValueError, KeyError, TypeError, NotFound):
            return None
        return found

    def add(self, key: str, manifest: Manifest) -> None:
        """Notes that an artifact's files are whole here."""
        path = self._have / key
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        temporary.write_text(json.dumps({"boot": self._boot, "manifest": manifest.encode().decode()}))
        temporary.replace(path)

    def forget(self, key: str) -> None:
        """Of a key and all below it nothing counts as whole any more; the files stay."""
        path = self._have / key
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Path]:
        """A directory for what comes; gone afterwards, unless it was renamed."""
        path = self._incoming / os.urandom(8).hex()
        path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def trim(self, room_for: int = 0) -> None:
        """Removes what is over the budget once `room_for` more bytes have come, and what nobody needs. Another process
        that does so already is left to it."""
        with self._only_one() as alone:
            if not alone:
                return
            entries = self._entries()
            total, now = room_for + sum(entry.bytes for entry in entries.values()), time.time()
            for name, entry in sorted(entries.items(), key=lambda item: item[1].used_at):
                over = total > self._budget and entry.bytes > 0
                if (over or now - entry.used_at > _UNUSED_S) and self._evict(name):
                    total -= entry.bytes
            self._clear_leftovers(entries, now)

    def _entries(self) -> dict[str, _Entry]:
        """Whole artifacts by entry."""
        found: dict[str, _Entry] = {}
        for path in self._have.rglob("*"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, NotFound):
                if path.is_file() and not path.name.startswith("."):
                    entry = found.setdefault(entry_of(path.relative_to(self._have).as_posix()), _Entry())
                    entry.used_at = max(entry.used_at, path.stat().st_mtime)
                    entry.bytes += Manifest.decode(json.loads(path.read_bytes())["manifest"].encode()).size
        return found

    def _clear_leftovers(self, entries: dict[str, _Entry], now: float) -> None:
        """Of processes that died: files that are not whole and that nobody works on."""
        for prefix in self.files.iterdir():
            pattern = "*/*" if prefix.name == "jobs" else "*"
            for path in prefix.glob(pattern):
                name = path.relative_to(self.files).as_posix()
                if name not in entries and now - _changed(path) > self._grace_s:
                    self._evict(name)
        for path in self._incoming.glob("*"):
            if now - _changed(path) > self._grace_s:
                shutil.rmtree(path, ignore_errors=True)
        for path in self._locks.glob("*"):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > self._grace_s and (lock := FileLock.take(path, alone=True)):
                    lock.release(remove=True)

    def _evict(self, entry: str) -> bool:
        """Removes an entry's files. False: it is in use."""
        lock = FileLock.take(self._lock_path(entry), alone=True)
        if lock is None:
            return False
        try:
            self.forget(entry)
            remove_tree(self.files / entry)
            log.info("removed from the cache", key=entry)
        finally:
            lock.release(remove=True)
        return True

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[bool]:
        lock = FileLock.take(self._locks / "trim", alone=True)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    def _lock_path(self, entry: str) -> Path:
        return self._locks / ("use+" + entry.replace("/", "+"))


def _changed(path: Path) -> float:
    """When something was changed in it, at any depth; now, where it is being removed."""
    try:
        return max(found.lstat().st_mtime for found in (path, *path.rglob("*")))
    except OSError:
        return time.time()
