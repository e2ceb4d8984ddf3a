"""Models that not every lane of a host has in memory: which lanes have one, and how the others answer for it.

Each lane decides for itself, by the model's name and the lanes that are there, so all come to the same. One that does
not have a version makes batches of its requests as ever, and sends them to a lane that has it, which gives them to its
predictor in their turn. All lanes are connected with one another (`app.lanes`); each tells the others what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache

from app.errors import ServiceError
from app.serving.batcher import Batcher
from app.serving.engines import note_engine
from app.serving.lane_messages import HeldVersion, NotRun, WantsVersion
from app.serving.lane_stream import Guest, LaneStream
from app.serving.protocol import BatchResult
from app.serving.serving_version import ServingVersion, State
from app.serving.versions import Models

PATIENCE_S = 5.0
"""A lane that is not there counts for so long: its successor takes its predictor over, with what is in it."""
_ASK_AGAIN_S = 0.5


class SharedModels:
    """What this lane has and knows of the others.

    Args:
        index: of this lane.
        lanes: number of lanes on this host.
        clock: monotonic time, seconds.
    """

    def __init__(self, index: int = 0, lanes: int = 1, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.index, self.lanes = index, lanes
        self._clock = clock
        self._known: set[LaneStream] = set()
        self._gone = {other: clock() for other in range(lanes) if other != index}
        self._early: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._describing = False
        self._told_of: set[str] = set()  # models that have, or had, the setting
        self._by_key: dict[int, ServingVersion] = {}
        self._asked_at: dict[int, float] = {}
        self._not_here: set[int] = set()  # keys of versions that went to another lane because they are not for ours
        self._models = Models()
        self._batcher: Batcher | None = None
        self._describe: Callable[[ServingVersion], Awaitable[None]]
        self._refuse: Callable[[ServingVersion, str], None]
        self._wake: Callable[[], None]

    def bind(
        self,
        models: Models,
        batcher: Batcher,
        describe: Callable[[ServingVersion], Awaitable[None]],
        refuse: Callable[[ServingVersion, str], None],
        wake: Callable[[], None],
    ) -> None:
        """On the event loop, before anything else.

        Args:
            describe: reads a version's description. Raises ServiceError.
            refuse: called with a version that cannot be loaded where it should be, and why.
            wake: called after each change.
        """
        self._models, self._batcher = models, batcher
        self._describe, self._refuse, self._wake = describe, refuse, wake
        models.here = self.here
        early, self._early = self._early, []
        for connection in early:
            self.meet(connection)

    def meet(self, connection: socket.socket) -> None:
        """Takes our end of a connection to another lane."""
        if self._batcher is None:
            self._early.append(connection)
        else:
            connection.setblocking(False)
            self._begin(self._connect(connection))

    def leave(self) -> None:
        """This lane was told to end: others are to have what it has, while it still answers."""
        for lane in self._known:
            lane.greet(leaves=True)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in list(self._known):
            lane.kill()
        for connection in self._early:
            connection.close()

    def here(self, version: ServingVersion) -> bool:
        """Whether our predictor is to have a version. Staged ones are tried where they would be anyway."""
        most = version.wanted.settings.lanes
        return most is None or version.wanted.staged or self.index in self._chosen(version)

    @property
    def awaited(self) -> bool:
        """Whether another lane is still to load a version that is to be in memory."""
        versions = self._models.versions.values()
        return any(v.due and not v.loaded and v.error is None and not self.here(v) for v in versions)

    def to_give_up(self) -> ServingVersion | None:
        """A version that our predictor has and need not have: all lanes that are to have it do."""
        for version in self._models.versions.values():
            if version.held and not self.here(version):
                holders = {lane.index for lane in self._holders(version)}
                if self._chosen(version) <= holders:
                    return version
        return None

    def look(self) -> bool:
        """Tells the others what we have, and sends requests where their versions are. Whether something changed."""
        if self.lanes == 1 or self._batcher is None:
            return False
        versions = list(self._models.versions.values())
        self._told_of |= {version.wanted.model for version in versions if version.wanted.settings.lanes is not None}
        if not self._told_of:
            return False
        self._announce(versions)
        changed = [version for version in versions if not version.held and self._route(version)]
        if changed:
            self._models.apply_labels()
        return bool(changed)

    def _chosen(self, version: ServingVersion) -> set[int]:
        """Lanes that are to have a version; those that are there come first by a number from name and lane, so that
        models spread, and few move when a lane comes or goes."""
        now = self._clock()
        present = {self.index, *(lane.index for lane in self._known if not lane.leaves)}
        present |= {index for index, since in self._gone.items() if now - since < PATIENCE_S}
        model = version.wanted.model
        return set(sorted(present, key=lambda index: _weight(model, index))[: version.wanted.settings.lanes])

    def _holders(self, version: ServingVersion) -> list[LaneStream]:
        name = version.wanted.path, version.wanted.digest
        return sorted((lane for lane in self._known if name in lane.held), key=lambda lane: (lane.leaves, lane.index))

    def _announce(self, versions: Iterable[ServingVersion]) -> None:
        ours = [v for v in versions if v.wanted.model in self._told_of and (v.held or v.error is not None)]
        self._by_key = {version.key: version for version in ours if version.held}
        held = [_held(version) for version in ours]
        for lane in self._known:
            lane.tell(held)

    def _route(self, version: ServingVersion) -> bool:
        """Opens or closes the way to another lane, for a version that we do not have. Whether it did."""
        queue, holders = version.queue, self._holders(version)
        changed = False
        if queue is not None and queue.away is not None and queue.key is not None:
            name = version.wanted.path, version.wanted.digest
            if queue.away in holders and queue.away.held[name].key == queue.key:
                self._note(version, queue.away.held[name])
                if version.key in self._not_here and self.here(version):
                    self._load_here(version)
                return False
            self._close(version)
            changed = True
        if version.wanted.staged:
            return changed
        if not holders:
            self._ask(version)
        elif queue is not None:
            self._open(version, holders[self.index % len(holders)])
            changed = True
        elif version.due and self._clock() >= version.retry_at and not self._describing:
            self._describing = True
            self._begin(self._describe_then_look(version))
        return changed

    def _open(self, version: ServingVersion, lane: LaneStream) -> None:
        assert version.queue is not None and self._batcher is not None
        held = lane.held[version.wanted.path, version.wanted.digest]
        version.state, version.error = State.AVAILABLE, None
        if not self.here(version):
            version.due = False
            self._not_here.add(version.key)
        version.set_cell_bytes(held.cell_bytes)
        self._note(version, held)
        self._asked_at.pop(version.key, None)
        self._batcher.open(version.queue, held.key, lane)

    def _note(self, version: ServingVersion, held: HeldVersion) -> None:
        """What computes its answers there."""
        if version.onnx != held.onnx or version.metrics.engines:
            note_engine(version, held.onnx)
            version.metrics.engines = {}  # counted where it is
        version.why_tensorflow = held.why_tensorflow

    def _close(self, version: ServingVersion) -> None:
        assert version.queue is not None and self._batcher is not None
        self._batcher.close(version.queue)
        version.state = State.END
        if version.key in self._not_here:
            self._load_here(version)

    def _load_here(self, version: ServingVersion) -> None:
        """Once it is ours to have it."""
        self._not_here.discard(version.key)
        version.due = bool(version.wanted.labels) or version.wanted.previous
        if not version.loaded:
            version.state = State.LOADING if version.due else State.END

    def _ask(self, version: ServingVersion) -> None:
        """Nobody has a version: those who are to have it hear that requests wait, or we hear why it will not come."""
        if self.here(version) or version.queue is None:
            return
        chosen = self._chosen(version)
        lanes = [lane for lane in self._known if lane.index in chosen]
        name = version.wanted.path, version.wanted.digest
        why = next((lane.failed[name] for lane in lanes if name in lane.failed), None)
        if why is not None:
            if version.error != why:
                self._refuse(version, why)
        elif version.queue.waiting and self._clock() - self._asked_at.get(version.key, 0.0) > _ASK_AGAIN_S:
            self._asked_at[version.key] = self._clock()
            for lane in lanes:
                lane.say(WantsVersion(*name))

    async def _describe_then_look(self, version: ServingVersion) -> None:
        try:
            with contextlib.suppress(ServiceError):
                await self._describe(version)
        finally:
            self._describing = False
        self._wake()

    async def _connect(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_unix_connection(lambda: LaneStream(self, self.index), sock=connection)
        except OSError:
            connection.close()

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def present(self, lane: LaneStream) -> None:
        self._known.add(lane)
        self._gone.pop(lane.index, None)
        self._wake()

    def gone(self, lane: LaneStream) -> None:
        if lane not in self._known:
            return
        self._known.discard(lane)
        if not lane.leaves and lane.index != self.index and all(lane.index != other.index for other in self._known):
            self._gone[lane.index] = self._clock()
        if self._batcher is not None:
            for version in self._models.all():
                if version.queue is not None and version.queue.away is lane and version.loaded:
                    self._close(version)
            self._batcher.lost(lane)
        self._wake()

    def holds(self, lane: LaneStream) -> None:
        self._wake()

    def wants(self, lane: LaneStream, path: str, digest: str) -> None:
        for version in self._models.versions.values():
            if (version.wanted.path, version.wanted.digest) == (path, digest) and not version.held:
                version.asked_at = self._clock()
                version.due = version.due or version.error is None
                self._wake()

    def guest(self, lane: LaneStream, guest: Guest) -> None:
        version = self._by_key.get(guest.run.key)
        if version is None or version.queue is None or not version.held or self._batcher is None:
            guest.not_run(began=False)
            return
        version.asked_at = self._clock()
        self._batcher.run_guest(version.queue, guest)

    def answered(self, lane: LaneStream, answer: BatchResult | NotRun) -> None:
        assert self._batcher is not None
        if isinstance(answer, BatchResult):
            self._batcher.answered(answer)
            return
        queue = self._batcher.not_run(answer.id, began=answer.began)
        for version in self._models.all():
            if queue is not None and version.queue is queue and queue.away is lane:
                lane.held.pop((version.wanted.path, version.wanted.digest), None)
                self._close(version)
        self._wake()


def _held(version: ServingVersion) -> HeldVersion:
    assert version.held or version.error is not None
    size = version.queue.cell_bytes if version.queue is not None else 0
    where = version.wanted.path, version.wanted.digest
    error = None if version.held else version.error
    return HeldVersion(*where, version.key, size, version.onnx, version.why_tensorflow, error)


@lru_cache(4096)
def _weight(model: str, index: int) -> bytes:
    return hashlib.blake2b(f"{index} {model}".encode(), digest_size=8).digest()
