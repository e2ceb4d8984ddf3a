"""Files of versions: fetched before they are loaded, and kept on this host as long as a predictor may need them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from app.errors import NotFound, Unavailable
from app.serving.export_description import BadExport
from app.serving.serving_version import ServingVersion
from app.serving.versions import UNUSED_S

log = structlog.get_logger("app.serving")


class Held(Protocol):
    """Files that stay where they are."""

    def release(self) -> None:
        """They may go."""


Hold = Callable[[str, str], Held]
"""Fetches the directory of a path and digest, which takes its time. Raises NotFound and Unavailable."""


class VersionFiles:
    """What is held of which version.

    Args:
        hold: None: all files are where they are said to be.
        wake: called when a fetch has ended, in either way.
        refuse: called with a version whose files are gone, and the reason.
    """

    def __init__(
        self, hold: Hold | None, wake: Callable[[], None], refuse: Callable[[ServingVersion, str], None]
    ) -> None:
        self._hold, self._wake, self._refuse = hold, wake, refuse
        self._held: dict[ServingVersion, Held] = {}
        self._fetches: dict[ServingVersion, asyncio.Task[None]] = {}

    @property
    def busy(self) -> bool:
        """Whether something is being fetched."""
        return bool(self._fetches)

    def ready(self, version: ServingVersion) -> bool:
        """Whether the files are here; else they are fetched now, or a little later where that just failed."""
        if self._here(version):
            return True
        if time.monotonic() >= version.retry_at:
            self._begin(version)
        return False

    def _here(self, version: ServingVersion) -> bool:
        return self._hold is None or version in self._held

    def _begin(self, version: ServingVersion) -> asyncio.Task[None]:
        """Fetches a version's files, if nobody does so already."""
        task = self._fetches.get(version)
        if task is None:
            task = self._fetches[version] = asyncio.create_task(self._fetch(version), name="fetch version")
            version.on_its_way = True
            task.add_done_callback(lambda _: self._ended(version))
        return task

    async def bring(self, version: ServingVersion, timeout_s: float | None = None) -> None:
        """Returns when the files are here.

        Raises:
            BadExport: they are gone.
            Unavailable: the store does not answer, or not within `timeout_s`.
        """
        if self._here(version):
            return
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._begin(version))
        except TimeoutError:
            raise Unavailable("The model's files are being fetched. Try again.", retry_after_s=1.0) from None

    def release(self, version: ServingVersion) -> None:
        held = self._held.pop(version, None)
        if held is not None:
            held.release()

    def release_unused(self, known: Iterable[ServingVersion]) -> None:
        """Lets go of what was looked at only, and of versions that are gone."""
        if not self._held:
            return
        kept, now = set(known), time.monotonic()
        for version in [*self._held]:
            asked = version.due or not version.idle or now - max(version.asked_at, version.fetched_at) < UNUSED_S
            if not version.held and not (version in kept and asked):
                self.release(version)

    async def stop(self) -> None:
        for task in self._fetches.values():
            task.cancel()
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)
        for version in [*self._held]:
            self.release(version)

    async def _fetch(self, version: ServingVersion) -> None:
        assert self._hold is not None
        wanted = version.wanted
        try:
            self._held[version] = await asyncio.to_thread(self._hold, wanted.path, wanted.digest)
        except NotFound as error:
            raise BadExport(error.detail) from None
        version.fetched_at = time.monotonic()

    def _ended(self, version: ServingVersion) -> None:
        task = self._fetches.pop(version)
        version.on_its_way = False
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, BadExport):
                self._refuse(version, str(error))
            else:
                version.put_off()
                log.warning("files of a version wait", model=version.wanted.model, why=str(error))
        self._wake()
