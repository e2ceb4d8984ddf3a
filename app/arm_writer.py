"""Writes what this API process counted of divided labels into the registry, and the requests that are kept into the
artifact store, now and then: a request costs no SQL and no file."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from app import kept_requests
from app.errors import ServiceError
from app.registry.arm_counts import ArmCountRepository, Counted
from app.registry.db import Database
from app.serving.service import ServingService
from app.storage import Storage

log = structlog.get_logger("app.arm_writer")


class ArmWriter:
    """The loop that writes; one in each API process.

    Args:
        every_s: between two writes; without requests to a divided label there is none.
    """

    def __init__(self, database: Database, storage: Storage, service: ServingService, *, every_s: float) -> None:
        self._database, self._storage, self._service, self._every_s = database, storage, service, every_s
        self._unwritten: list[Counted] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="arm counts")

    async def stop(self) -> None:
        """Writes what is left."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._write()
        await self._write_kept()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self._write()
            await self._write_kept()

    async def _write_kept(self) -> None:
        """What cannot be written is dropped: kept requests are samples."""
        kept = self._service.models.kept.take()
        if dropped := self._service.models.kept.take_dropped():
            log.warning("kept requests are left out: too many came at once", requests=dropped)
        if not kept:
            return
        try:
            await asyncio.shield(asyncio.to_thread(kept_requests.write, self._database, self._storage, kept))
        except (ServiceError, OSError, ValueError) as error:
            log.warning("kept requests are lost", requests=len(kept), why=str(error))

    async def _write(self) -> None:
        for arm in self._service.models.arms():
            if (counts := arm.take()) is not None:
                self._unwritten.append(Counted(arm.model, arm.label, arm.revision, arm.number, counts))
        if not self._unwritten:
            return
        rows, self._unwritten = self._unwritten, []
        try:
            await asyncio.shield(asyncio.to_thread(self._add, rows))
        except ServiceError as error:  # the database is away: the next write has it all
            self._unwritten = _merged(rows)
            log.warning("counts of releases wait", why=error.detail)

    def _add(self, rows: list[Counted]) -> None:
        with self._database.session() as session:
            ArmCountRepository(session).add(rows)


def _merged(rows: list[Counted]) -> list[Counted]:
    """One for each arm, so that an outage of hours takes no memory."""
    found: dict[tuple[str, str, int, int], Counted] = {}
    for row in rows:
        known = found.setdefault((row.model, row.label, row.revision, row.version), row)
        if known is not row:
            known.counts.merge(row.counts)
    return list(found.values())
