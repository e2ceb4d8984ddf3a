"""Staged versions are tried in a process that serves no requests, so that one which kills it disturbs nobody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from app.serving.export_description import BadExport
from app.serving.loading import load_in
from app.serving.own_predictors import PredictorSource
from app.serving.predictor_process import PredictorDied, PredictorProcess
from app.serving.serving_version import ServingVersion, State

log = structlog.get_logger("app.serving")

KILLED = "Loading it ended the predictor process, or took too long."
_RESTART_S = 1.0


class Trials:
    """Tries one version at a time.

    Args:
        predictors: where a process is borrowed.
        memory_bytes: of all loaded versions together.
        timeout_s: of one load.
        describe: reads a version's description. Raises BadExport.
        refuse: called with a version that cannot be loaded, and why.
        wake: called after each trial.
    """

    def __init__(
        self,
        predictors: PredictorSource,
        memory_bytes: int,
        timeout_s: float,
        *,
        describe: Callable[[ServingVersion], Awaitable[None]],
        refuse: Callable[[ServingVersion, str], None],
        wake: Callable[[], None],
    ) -> None:
        self._predictors, self._memory_bytes, self._timeout_s = predictors, memory_bytes, timeout_s
        self._describe, self._refuse, self._wake = describe, refuse, wake
        self._task: asyncio.Task[None] | None = None

    @property
    def possible(self) -> bool:
        """Whether one can begin now."""
        return self._task is None and self._predictors.can_try

    def begin(self, version: ServingVersion) -> None:
        self._task = asyncio.create_task(self._try(version), name="try-version")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _try(self, version: ServingVersion) -> None:
        version.state = State.LOADING
        spare: PredictorProcess | None = None
        try:
            spare = await self._predictors.borrow()
            await self._describe(version)
            version.check_fits(self._memory_bytes)
            await load_in(spare, version, self._timeout_s, low_priority=True)
            await spare.unload(version.key, self._timeout_s)
            version.validated = True
        except BadExport as error:
            self._refuse(version, str(error))
        except PredictorDied:
            if spare is None:
                log.warning("no predictor to try a version in", model=version.wanted.model)
                await asyncio.sleep(_RESTART_S)
            else:
                self._refuse(version, KILLED)
        finally:
            if spare is not None:
                self._predictors.give_back(spare)
            self._task = None
            self._wake()
