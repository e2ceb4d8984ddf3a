"""The serving side of the API process: keeps a predictor process alive, the right versions in it, and requests
moving.

One loop decides (`_step`), so that at any time at most one thing is loaded or unloaded. Where predictors come from is
said by a `PredictorSource`: a second process waits with TensorFlow imported; it takes over when the first one dies, and
staged versions are tried in it first, so that one that kills its process never touches the one that serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import structlog

from app.errors import Conflict, NotFound, ServiceError, Unavailable
from app.serving.batcher import Batcher
from app.serving.description import read_description
from app.serving.engines import Engines
from app.serving.export_description import BadExport
from app.serving.leak_check import LeakCheck
from app.serving.loading import load_in
from app.serving.metadata import metadata, status
from app.serving.metrics import VersionMetrics, service_gauges
from app.serving.model_limits import BatchLimits
from app.serving.neighbours import Neighbours
from app.serving.own_predictors import OwnPredictors, PredictorSource
from app.serving.predictor_process import Fork, PredictorDied, PredictorProcess
from app.serving.serving_version import ServingVersion, State
from app.serving.shared_models import SharedModels
from app.serving.split import Headers
from app.serving.trials import KILLED, Trials
from app.serving.version_files import Hold, VersionFiles
from app.serving.versions import Models
from app.serving.wanted_version import WantedVersion

log = structlog.get_logger("app.serving")

_TICK_S = 1.0
_FLIP_S = 0.02  # between two looks at what the others have, while a label waits for them
_RESTART_S = 1.0  # between two starts that fail
_MOST_CRASHES = 4  # of a process while it loads one version; one is enough for a version that was never loaded


class ServingService:
    """All versions that this process serves: their queues, the predictor processes, loading and eviction.

    Args:
        limits: of batches, queues and times.
        memory_bytes: of all loaded versions together; beyond it the least recently used are evicted.
        load_timeout_s: of one load with its warm-up; twice that while others are served.
        predictors: where they come from; None: from this process, with a spare.
        hold: fetches and keeps the files of a version; None: they are there.
        neighbours: who else serves on this host; None: nobody.
        others: the other lanes, as far as they answer for versions in our place; None: there is none.
        validates: tries and loads staged versions; else they are loaded once they are not staged any more.
        conversions: directory for ONNX Runtime's models; None: TensorFlow computes all answers.
        on_loaded, on_failed: called with staged versions, on the event loop; must not block.
    """

    def __init__(
        self,
        *,
        limits: BatchLimits | None = None,
        memory_bytes: int = 4 * 2**30,
        load_timeout_s: float = 120.0,
        leak_bytes: int = 2 * 2**30,
        predictors: PredictorSource | None = None,
        hold: Hold | None = None,
        validates: bool = True,
        neighbours: Neighbours | None = None,
        others: SharedModels | None = None,
        conversions: Path | None = None,
        on_loaded: Callable[[str, int], None] | None = None,
        on_failed: Callable[[str, int, str], None] | None = None,
    ) -> None:
        self.limits = limits or BatchLimits()
        self.models = Models()
        self.restarts = 0
        self.on_loaded = on_loaded or (lambda model, number: None)
        self.on_failed = on_failed or (lambda model, number, reason: None)
        self.look_again: Callable[[], Awaitable[None]] | None = None
        """Brings `sync` up to date before a request is refused because there is no such model."""
        self._memory_bytes = memory_bytes
        self._load_timeout_s = load_timeout_s
        self.leak_check = LeakCheck(leak_bytes)
        self._validates = validates
        self.models.neighbours = neighbours or self.models.neighbours
        self._others = others or SharedModels()
        self.predictors = predictors or OwnPredictors()
        self._predictor: PredictorProcess | None = None
        self._batcher: Batcher | None = None
        self._changed = asyncio.Event()
        self._settled: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._synced = False
        self._files = VersionFiles(hold, self._wake, self._refuse)
        self._engines = Engines(conversions, self._changed.set, load_timeout_s)
        limits_of_trials = self.predictors, memory_bytes, load_timeout_s
        self._trials = Trials(*limits_of_trials, describe=self._describe, refuse=self._refuse, wake=self._wake)

    @property
    def batcher(self) -> Batcher:
        assert self._batcher is not None, "start() comes first"
        return self._batcher

    @property
    def predictor_pid(self) -> int:
        """Of the process that answers now; 0 while there is none."""
        return self._predictor.pid if self._predictor is not None and self._predictor.alive else 0

    async def start(self) -> None:
        """Begins; returns at once. Requests wait until their version is loaded."""
        self._batcher = Batcher(self.limits)
        self.models.submit = self._batcher.submit
        self._settled = asyncio.get_running_loop().create_future()
        self.predictors.bind(self._new_process, self._changed.set)
        self._others.bind(self.models, self._batcher, self._described, self._refuse, self._wake)
        self._task = asyncio.create_task(self._keep_going(), name="serving")

    async def stop(self) -> None:
        """Ends the processes; what still waits is answered with Unavailable."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._trials.stop()
        await self._others.stop()
        if self._predictor is not None:
            await self._predictor.stop()
        await self.predictors.stop()
        await self._files.stop()
        await self._engines.stop()
        for version in [*self.models.versions.values(), *self.models.gone]:
            if version.queue is not None:
                self.batcher.refuse(version.queue, Unavailable("The service stops."))

    def sync(self, wanted: Sequence[WantedVersion]) -> None:
        """What the registry has now; cheap when nothing changed. Versions with labels and staged ones are loaded,
        others when somebody asks for them."""
        changed = self.models.sync(wanted)
        if changed or not self._synced:
            self._synced = True
            self._wake()

    async def wait_for_all(self) -> None:
        """Until every version that is to be in memory is, or cannot be."""
        assert self._settled is not None
        while not self._synced or not self.predictor_pid or self._files.busy or self._waits_for_versions():
            await asyncio.shield(self._settled)

    def _waits_for_versions(self) -> bool:
        return self.models.to_load(unvalidated=False) is not None or self._others.awaited

    async def wait_until_loadable(
        self, model: str, number: int | None = None, label: str | None = None, headers: Headers | None = None
    ) -> ServingVersion:
        """The version that a request means (`Models.find`), as soon as requests for it can be checked and queued.

        Raises:
            NotFound: no such model, version or label.
            Conflict: it cannot be loaded.
            Unavailable: the model's first version did not come in time.
        """
        deadline = time.monotonic() + (self.models.settings_of(model).timeout_s or self.limits.timeout_s)
        looked = self.look_again is None
        while True:
            try:
                version = self.models.find(model, number, label, headers)
            except NotFound:
                if looked or self.look_again is None:
                    raise
                looked = True
                await self.look_again()  # it may have been made a moment ago
                continue
            if version is not None:
                if version.queue is None:
                    await self._described(version)
                if not version.loaded:
                    self._changed.set()
                return version
            assert self._settled is not None
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - time.monotonic()):
                    await asyncio.shield(self._settled)
            except TimeoutError:
                raise Unavailable("The model's first version is being loaded. Try again.", retry_after_s=1.0) from None

    def get_if_loaded(
        self, model: str, number: int | None, label: str | None, headers: Headers | None = None
    ) -> ServingVersion | None:
        """The version that a request means when it is in memory now; else None: ask `wait_until_loadable`."""
        try:
            version = self.models.find(model, number, label, headers)
        except ServiceError:
            return None
        return version if version is not None and version.loaded else None

    def status(self, model: str, number: int | None = None, label: str | None = None) -> dict[str, Any]:
        """TensorFlow Serving's `model_version_status`: of all versions known here, of one, or of a label's.
        Raises NotFound: no such model, version or label."""
        versions = self.models.versions_of(model)
        if number is not None or label is not None:
            versions = [self.models.look_up(model, number, label)]
        return status(versions)

    async def metadata(self, model: str, number: int | None = None, label: str | None = None) -> dict[str, Any]:
        """TensorFlow Serving's metadata of one version (no version: label `latest`). It need not be in memory.

        Raises:
            NotFound: no such model, version or label.
            Conflict: its description cannot be read.
        """
        version = self.models.look_up(model, number, label)
        await self._described(version)
        return metadata(model, version)

    def metrics(self) -> Iterable[tuple[str, int, VersionMetrics]]:
        """Of the versions that are in memory or were asked for."""
        return [(v.wanted.model, v.wanted.number, v.metrics) for v in self.models.versions.values() if v.queue]

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        memory = self._predictor.memory_bytes() if self.predictor_pid and self._predictor else 0
        loaded = sum(1 for _ in self.models.held())
        return service_gauges(self.batcher.rows_waiting, loaded, self.models.used_bytes, self.restarts, memory)

    async def _describe(self, version: ServingVersion) -> None:
        """Raises BadExport, Unavailable."""
        if version.queue is None:
            await self._files.bring(version, version.wanted.settings.timeout_s or self.limits.timeout_s)
            version.describe(await asyncio.to_thread(read_description, version.wanted.path, self.limits.queue_rows))

    async def _described(self, version: ServingVersion) -> None:
        try:
            await self._describe(version)
        except BadExport as error:
            version.failed(str(error))
            raise Conflict(f"Version {version.wanted.number} cannot be loaded: {error}") from None

    def _wake(self) -> None:
        """Something changed: the loop looks again, and so do requests that wait for a model."""
        self._others.look()
        self._changed.set()
        self.models.neighbours.tell(self.models)
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
            self._settled = asyncio.get_running_loop().create_future()

    async def _keep_going(self) -> None:
        while True:
            try:
                while await self._step():
                    pass
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_FLIP_S if self.models.waits else _TICK_S):
                        await self._changed.wait()
                self._changed.clear()
                if self.models.waits:
                    self.models.apply_labels()
                    self.models.neighbours.tell(self.models)
            except PredictorDied as error:
                log.warning("predictor", event_detail=str(error))
                await asyncio.sleep(_RESTART_S)
            except Exception as error:
                log.error("serving loop", exc_info=error)
                await asyncio.sleep(_RESTART_S)

    async def _step(self) -> bool:
        """Does the next thing that is due. Returns whether there was one."""
        if self._predictor is None or not self._predictor.alive:
            await self._replace_predictor()
            return True
        if self._others.look():
            self._wake()
        serves = any(True for _ in self.models.held())
        version = self.models.to_load(unvalidated=self._validates and not (serves and self.predictors.tries))
        if serves or version is None:  # the first version has the processor for itself, the others can wait
            self.predictors.begin_spare()
        if version is not None:
            await self._load(version)
            return True
        self._files.release_unused(self.models.versions.values())
        version = self.models.to_unload()
        if version is not None:
            await self._unload(version)
            if version.idle:
                version.forget()
            return True
        if (version := self._others.to_give_up()) is not None:
            await self._free(version)
            return True
        if await self._engines.change_next(self._predictor, self.models, self._memory_bytes):
            return True
        if self._synced and self._predictor.left:
            _, left = self._predictor.left.popitem()
            await self._predictor.unload(left.key, self._load_timeout_s)
            return True
        if self._validates and self._trials.possible:
            version = self.models.next_to_validate()
            if version is not None and self._files.ready(version):
                self._trials.begin(version)
        self.leak_check.check(self._predictor, self.models.used_bytes)
        return False

    async def _replace_predictor(self) -> None:
        """Puts another process in the place of one that died."""
        self._predictor = process = await self.predictors.next()
        self.batcher.predictor = process
        self._wake()
        log.info("predictor serves", pid=process.pid, tensorflow=process.tensorflow)

    def _new_process(self, fork: Fork | None) -> PredictorProcess:
        threads, rows = self.limits.in_flight, self.limits.batch_rows
        return PredictorProcess(self.batcher.answered, self._died, fork=fork, threads=threads, max_rows=rows)

    def _died(self, process: PredictorProcess) -> None:
        self.predictors.died(process)
        if process is not self._predictor:
            return
        self.restarts += 1
        for version in list(self.models.held()):
            assert version.queue is not None
            self.batcher.close(version.queue)
            version.state = State.LOADING
            version.due = True
        self.batcher.lost()
        self._changed.set()

    async def _load(self, version: ServingVersion) -> None:
        if not self._files.ready(version):  # others can be loaded meanwhile
            return
        wanted = version.wanted
        version.state = State.LOADING
        version.error = None
        try:
            await self._describe(version)
            version.check_fits(self._memory_bytes)
            await self._make_room(version.bytes)
            low_priority = not (version.queue and version.queue.waiting) and any(True for _ in self.models.held())
            await load_in(self._predictor, version, self._load_timeout_s, low_priority=low_priority)
        except BadExport as error:
            self._refuse(version, str(error))
        except PredictorDied:
            if self.predictors.blameless:
                version.crashes += 1
            if version.crashes >= (_MOST_CRASHES if version.validated or not wanted.staged else 1):
                self._refuse(version, KILLED)
        else:
            assert version.queue is not None
            version.state = State.AVAILABLE
            version.due, version.validated = False, True
            version.crashes = 0
            version.metrics.loads += 1
            self.batcher.open(version.queue, version.key)
            self.models.apply_labels()
            if wanted.staged:
                self.on_loaded(wanted.model, wanted.number)
        self._wake()

    def _refuse(self, version: ServingVersion, reason: str) -> None:
        model, number = version.wanted.model, version.wanted.number
        version.failed(reason)
        log.warning("version failed", model=model, version=number, reason=reason)
        if version.queue is not None:
            self.batcher.refuse(version.queue, Conflict(f"Version {number} could not be loaded: {reason}"))
        if version.wanted.staged:
            self.on_failed(model, number, reason)

    async def _make_room(self, size: int) -> None:
        while self.models.used_bytes + size > self._memory_bytes:
            victim = self.models.to_evict()
            if victim is None:
                return
            await self._unload(victim)

    async def _free(self, version: ServingVersion) -> None:
        """Lets no more of its requests into a predictor, and takes it out of ours; another lane may have it."""
        queue, held = version.queue, version.held
        if queue is not None and queue.key is not None and self._predictor is not None:
            self.batcher.close(queue)
            await self.batcher.drain(queue)
            self._wake()
            if held:
                await self._predictor.unload(version.key, self._load_timeout_s)

    async def _unload(self, version: ServingVersion) -> None:
        queue = version.queue
        version.state = State.UNLOADING
        await self._free(version)
        self._files.release(version)
        version.state = State.AVAILABLE if version.loaded else State.END
        if version in self.models.gone:
            self.models.gone.remove(version)
            if queue is not None:
                self.batcher.refuse(queue, NotFound(f"Version {version.wanted.number} of the model was removed."))
