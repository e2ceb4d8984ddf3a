"""Keeps serving in step with the registry: what should be in memory comes from there, what came of it goes back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import structlog

from app.errors import NotFound, ServiceError
from app.registry.db import Database
from app.registry.models import ModelRepository
from app.registry.served_versions import ServedVersion, ServedVersionRepository
from app.releases.keep import KeepPolicy
from app.serving.model_limits import ModelSettings
from app.serving.service import ServingService
from app.serving.split import Share
from app.serving.wanted_version import WantedVersion
from app.storage import Storage

log = structlog.get_logger("app.model_sync")

_ALL_S = 2.0
"""So often all AVAILABLE versions are read, not only those with labels."""


class ModelSync:
    """The loop between registry and serving, in the API process.

    Args:
        poll_s: between two looks at the registry.
    """

    def __init__(
        self,
        database: Database,
        storage: Storage,
        service: ServingService,
        *,
        poll_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._database = database
        self._storage = storage
        self._service = service
        self._poll_s = poll_s
        self._outcomes: list[tuple[str, int, str | None]] = []
        self._news = asyncio.Event()
        self._others: dict[tuple[str, int], WantedVersion] = {}
        self._all_read = 0.0
        self._changes = database.commits
        self._missed = False  # something of what changed was not read yet
        self._task: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()
        self._looks = 0
        service.look_again = self.look_again
        service.on_loaded = lambda model, number: self._came(model, number, None)
        service.on_failed = self._came

    async def start(self) -> None:
        """Begins; `ServingService.start` comes first."""
        self._task = asyncio.create_task(self._run(), name="model sync")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def refresh(self) -> None:
        """One look at the registry: writes outcomes back, then hands over what is wanted. Raises Unavailable."""
        async with self._looking:
            await self._look()

    async def look_again(self) -> None:
        """A look that begins after this call; those who ask at the same time share one."""
        seen = self._looks
        async with self._looking:
            if self._looks == seen:  # none has begun since
                await self._look()

    async def _look(self) -> None:
        self._looks += 1
        outcomes, self._outcomes = self._outcomes, []
        try:
            wanted = await asyncio.to_thread(self._exchange, outcomes)
        except ServiceError:
            self._outcomes = outcomes + self._outcomes
            raise
        self._service.sync(wanted)

    def _came(self, model: str, number: int, reason: str | None) -> None:
        self._outcomes.append((model, number, reason))
        self._news.set()

    async def _run(self) -> None:
        down = False
        while True:
            try:
                if self._is_due():
                    await self.refresh()
                down = False
            except ServiceError as error:  # the database is away: what is in memory serves on
                if not down:
                    log.warning("registry does not answer", event_detail=error.detail)
                down = self._missed = True
            except Exception as error:
                log.error("model sync", exc_info=error)
                self._missed = True
            await self._pause()

    def _is_due(self) -> bool:
        """Whether a look can bring anything: it costs some milliseconds of whichever request comes in meanwhile."""
        if self._changes.any():
            self._missed = True
            return True
        return bool(self._outcomes) or (self._missed and self._clock() - self._all_read >= _ALL_S)

    async def _pause(self) -> None:
        """Until the next poll, or until a load is through, whose label should not wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_s):
                await self._news.wait()
        self._news.clear()

    def _exchange(self, outcomes: Sequence[tuple[str, int, str | None]]) -> list[WantedVersion]:
        for model, number, reason in outcomes:
            self._write(model, number, reason)
        now = self._clock()
        everything = now - self._all_read >= _ALL_S
        with self._database.read() as session:
            found = ServedVersionRepository(session).wanted(available=everything)
        if everything:
            self._all_read, self._missed = now, False
            self._others = {
                (version.model, version.number): self._wanted(version, labelled=False)
                for version in found
                if not version.staged
            }
        known = {(version.model, version.number) for version in found}
        others = (version for place, version in self._others.items() if place not in known)
        return [*map(self._wanted, found), *others]

    def _write(self, model: str, number: int, reason: str | None) -> None:
        with contextlib.suppress(NotFound), self._database.session() as session:  # it may be deleted by now
            if reason is None:
                ModelRepository(session).version_loaded(model, number)
            else:
                ModelRepository(session).version_failed(model, number, reason)

    def _wanted(self, version: ServedVersion, *, labelled: bool = True) -> WantedVersion:
        return WantedVersion(
            model=version.model,
            number=version.number,
            path=str(self._storage.path(version.path)),
            digest=version.digest,
            lineage_id=version.lineage_id,
            labels=tuple(version.labels) if labelled else (),
            revisions=version.revisions if labelled else {},
            staged=labelled and version.staged,
            previous=labelled and version.previous,
            shares=tuple(Share(**vars(share)) for share in version.shares) if labelled else (),
            keep=None if version.keep is None else KeepPolicy.of(version.keep),
            settings=ModelSettings.of(version.serving),
        )
