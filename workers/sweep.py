"""Removes from the artifact store what no row of the registry needs, once it is older than `ORPHAN_GRACE_S`.

The reconciler does it every few minutes. `python -m workers.sweep` does it at once, and with `--dry-run` says what
would go; it reads the settings of the service and may run beside it: what one has removed is no error for the other.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.engine import make_url

from app.artifact_store import open_storage
from app.config import Settings
from app.errors import InvalidInput, NotFound, Unavailable
from app.jobs.state import JobState
from app.log import configure
from app.private_files import only_for_us
from app.registry.artifacts import ArtifactRepository
from app.registry.audit import AuditRepository
from app.registry.db import Database, make_engine, revision_state
from app.registry.feedback import FeedbackRepository
from app.registry.tables import Job
from app.storage import Storage, bytes_below
from workers.attempt.attempt_files import clear

log = structlog.get_logger("sweep")

KEPT_DAYS = 30.0
"""Labels that come back are kept for so long where the model's own setting says nothing."""
_CHECKPOINT = re.compile(r"model\.ckpt-\d+(?=\.)")
_ERROR, _UNAVAILABLE = 1, 6


@dataclass(frozen=True)
class Leftover:
    """Something in the store that nothing needs.

    Attributes:
        what: orphan, upload, request, checkpoint or temporary.
        bytes: counts those of its files, now.
        remove: removes it; that it is gone already is no error.
    """

    key: str
    what: str
    bytes: Callable[[], int]
    remove: Callable[[], None]


class Sweeper:
    """Looks through the store again and again; remembers attempts in which there was nothing to remove.

    Args:
        pulse: called again and again while work goes on.
    """

    def __init__(
        self, settings: Settings, database: Database, storage: Storage, *, pulse: Callable[[], None] = lambda: None
    ) -> None:
        self._grace_s, self._database, self._storage, self._pulse = settings.orphan_grace_s, database, storage, pulse
        self._clean: dict[str, float] = {}  # attempt directory → its time of change when nothing was to be removed

    def sweep(self) -> None:
        """Removes what no row needs.

        Raises:
            Unavailable: the store or the database does not answer; the next sweep does the rest.
        """
        for leftover in self.leftovers():
            leftover.remove()
            log.info("removed from the artifact store", key=leftover.key, what=leftover.what)

    def leftovers(self, *, dry_run: bool = False) -> Iterator[Leftover]:
        """What no row needs, one after the other; remove each before the next is asked for, unless it is a dry run.

        Args:
            dry_run: forget no kept requests that are over their days or bytes either.
        """
        now = time.time()
        yield from self._kept_requests(now, dry_run)
        attempts = self._old("jobs", 2, now)
        others = [key for prefix in ("datasets", "exports", "predictions") for key in self._old(prefix, 1, now)]
        with self._database.read() as session:
            unreferenced = ArtifactRepository(session).unreferenced([*attempts, *others])
        # A long upload or export writes into its directory, and has a row only at its end.
        orphans = [key for key in unreferenced if self._is_quiet(key, now)]
        for key in orphans:
            yield self._whole(key, "orphan")
        for key in self._old("uploads", 1, now):  # nobody made a data set of it
            yield self._whole(key, "upload")
        for key in sorted(attempts.keys() - orphans):
            if self._clean.get(key) != attempts[key]:
                yield from self._of_attempt(key, attempts[key], dry_run)

    def _kept_requests(self, now: float, dry_run: bool) -> Iterator[Leftover]:
        """Kept requests that are over their days or bytes, and files that no row points to."""
        with self._database.read() if dry_run else self._database.session() as session:
            doomed = FeedbackRepository(session).purge(KEPT_DAYS)
        old = self._old("kept", 1, now)
        with self._database.read() as session:
            unknown = old.keys() - FeedbackRepository(session).known_files(old)
        for key in sorted({*doomed, *unknown}):
            yield self._whole(key, "request")

    def _whole(self, key: str, what: str) -> Leftover:
        self._pulse()
        return Leftover(key, what, lambda: self._storage.stored_bytes(key), lambda: self._storage.remove(key))

    def _old(self, prefix: str, depth: int, now: float) -> dict[str, float]:
        """Keys that are older than the grace, with their time of change."""
        old = {}
        for key, changed in self._storage.found(prefix, depth):
            self._pulse()
            if now - changed > self._grace_s:
                old[key] = changed
        return old

    def _is_quiet(self, key: str, now: float) -> bool:
        self._pulse()
        try:
            return self._storage.quiet(key, now) > self._grace_s
        except NotFound:
            return False

    def _of_attempt(self, key: str, changed: float, dry_run: bool) -> Iterator[Leftover]:
        """Checkpoints without a row, whole or half written, and temporary files, of an attempt that is over."""
        self._pulse()
        _, job_id, number = key.split("/")
        names = {match[0] for name in self._storage.names(key) if (match := _CHECKPOINT.match(name))}
        prefixes = {f"{key}/{name}" for name in names}
        with self._database.read() as session:
            job = session.get(Job, job_id)
            if job is not None and job.state == JobState.RUNNING and job.attempt == int(number):
                return
            stray = ArtifactRepository(session).stray_checkpoints(job_id, int(number), prefixes)
        for prefix in stray:
            yield self._checkpoint(prefix)
        directory = self._storage.path(key)
        folders = [directory / "scratch", directory / "predictions", *directory.glob("worker-*")]
        # a process died between writing and renaming a file
        for path in [*(folder for folder in folders if folder.is_dir()), *directory.glob("*.tmp-*")]:
            yield self._temporary(f"{key}/{path.name}", path)
        if not dry_run:
            self._clean[key] = changed

    def _checkpoint(self, prefix: str) -> Leftover:
        storage = self._storage
        return Leftover(
            prefix, "checkpoint", lambda: storage.stored_bytes(prefix), lambda: storage.remove_files(prefix)
        )

    def _temporary(self, key: str, path: Path) -> Leftover:
        """On this host only, whatever the store is."""

        def remove() -> None:
            if path.is_dir():
                clear(path)
            else:
                path.unlink(missing_ok=True)

        return Leftover(key, "temporary", lambda: bytes_below(path), remove)


def sweep_now(sweeper: Sweeper, database: Database, *, dry_run: bool) -> Iterator[dict[str, str | int]]:
    """Sweeps once; `key`, `what` and `bytes` of each thing that went, or would go. The audit tells of it at the end."""
    count = size = 0
    try:
        for leftover in sweeper.leftovers(dry_run=dry_run):
            found = leftover.bytes()
            if not dry_run:
                leftover.remove()
            count, size = count + 1, size + found
            yield {"key": leftover.key, "what": leftover.what, "bytes": found}
    finally:
        if not dry_run:
            detail = {"removed": count, "bytes": size, "by": f"user {os.getuid()} of {socket.gethostname()}"}
            with database.session() as session:
                AuditRepository(session).add(None, "store.sweep", "", detail)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status, as that of `run`."""
    parser = argparse.ArgumentParser(prog="python -m workers.sweep", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="remove nothing; say what would be removed")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    chosen = parser.parse_args(arguments)
    settings = Settings()
    configure("WARNING")
    only_for_us()
    return run(settings, dry_run=chosen.dry_run, as_json=chosen.json)


def run(settings: Settings, *, dry_run: bool = False, as_json: bool = False) -> int:
    """Sweeps once and prints what went, or with `dry_run` what would go.

    Returns:
        0; 1 when there is no registry of this release; 6 when the database or the store does not answer.
    """
    url = make_url(settings.sql_url)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        return _failed(f"There is no {url.database}: set DATA_DIR or DATABASE_URL as for the service.", _ERROR)
    database = Database(make_engine(settings))
    try:
        if revision_state(database.engine) != "ok":
            # an empty registry would make orphans of everything
            return _failed("The registry is not of this release: start this release's service on it first.", _ERROR)
        sweeper = Sweeper(settings, database, open_storage(settings))
        gone = []
        for one in sweep_now(sweeper, database, dry_run=dry_run):
            gone.append(one)
            if not as_json:
                print(f"{one['what']:<10}  {one['bytes']:>15,}  {one['key']}")
        _report(gone, dry_run=dry_run, as_json=as_json)
    except Unavailable as error:
        return _failed(error.detail, _UNAVAILABLE)
    except InvalidInput as error:
        return _failed(error.detail, _ERROR)
    finally:
        database.close()
    return 0


def _report(gone: Sequence[dict[str, str | int]], *, dry_run: bool, as_json: bool) -> None:
    size = sum(int(one["bytes"]) for one in gone)
    if as_json:
        print(json.dumps({"dry_run": dry_run, "bytes": size, "removed": list(gone)}, indent=2))
    else:
        print(f"{len(gone)} {'would be removed' if dry_run else 'removed'}, {size:,} bytes")


def _failed(text: str, status: int) -> int:
    print(text, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
