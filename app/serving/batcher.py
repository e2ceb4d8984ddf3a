"""Puts rows of many requests into one call. There is no timer that waits for more: what waits while a version's call
runs is its next batch. Versions take turns, so that a busy one does not starve the others.

Everything here runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from app.errors import InvalidInput, QueueFull, ServiceError, Timeout, TooLarge, Unavailable
from app.serving.batch_columns import batch_columns
from app.serving.decode import Decoded
from app.serving.model_limits import BatchLimits
from app.serving.protocol import NO_INSTANCE, BadFrame, BatchResult, Form, RunBatch
from app.serving.version_queue import Batch, Pending, PredictionResult, QueueAccount, Reply, VersionQueue

RETRY_AFTER_S = 1.0
_SWEEP_S = 0.25
_GATHER_TURNS = 8


class BatchRunner(Protocol):
    """Where batches run."""

    def run(self, run: RunBatch) -> None: ...
    def kill(self) -> None: ...

    def quiet_s(self, since: float) -> float:
        """For how long it has computed nothing, though it has had work since `since` (`time.perf_counter`)."""


class Batcher:
    """The queues of all versions, and the batches that the predictor computes.

    Args:
        clock: seconds, of any origin; the predictor and callers' deadlines go by the same one.
    """

    def __init__(self, limits: BatchLimits, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.limits = limits
        self.rows_waiting = 0
        self.bytes_waiting = 0
        self.predictor: BatchRunner | None = None
        self._loop = asyncio.get_running_loop()
        self._turns: deque[VersionQueue] = deque()
        self._running: dict[int, Batch] = {}
        self._next_id = 0
        self._pump_planned = False
        self._gathers = False  # the last request came where `submit` says so
        self._queues: set[VersionQueue] = set()  # with requests waiting
        self._sweeper: asyncio.TimerHandle | None = None

    def submit(
        self,
        queue: VersionQueue,
        request: Decoded,
        size: int,
        reply: Reply,
        account: QueueAccount | None = None,
        *,
        charged: int = 0,
        deadline: float = math.inf,
        gather: bool = False,
    ) -> None:
        """Queues a request; `reply` gets its result or a ServiceError, not before this returns.

        Args:
            size: bytes of its body.
            account: of its caller: has the request's rows, and `charged` bytes, until it is answered.
            deadline: of the caller (`time.perf_counter`), where it comes before ours.
            gather: the next ones may be on their way though this turn of the loop does not bring them: a call waits for
                them a few turns.

        Raises:
            QueueFull: there is no room for it.
            TooLarge: its sequences, padded to the longest, would take too much of the predictor's memory.
        """
        if request.longest:
            self._check_memory(queue, request)
        rows = request.count
        full = self.rows_waiting + rows > self.limits.queue_rows or self.bytes_waiting + size > self.limits.queue_bytes
        if full and self.rows_waiting:  # the first one is always taken
            raise QueueFull("Too many requests wait for predictions. Try again.", retry_after_s=RETRY_AFTER_S)
        most = queue.settings.queue_rows
        if most is not None and queue.rows and queue.rows + rows > most:
            raise QueueFull("Too many requests wait for this model. Try again.", retry_after_s=RETRY_AFTER_S)
        now = self._clock()
        ends = now + self._timeout_s(queue)
        pending = Pending(request, size, now, reply, account, charged, ends if ends < deadline else deadline)
        if account is not None:
            account.rows += rows
            account.bytes += charged
        queue.last_used = now
        self._gathers = gather
        if queue.alone and not gather and now < deadline and size <= self.limits.batch_bytes and self._is_free(queue):
            self._send(queue, [pending])  # nobody comes beside it
        else:
            self._wait(queue, pending)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self.sweep)

    def open(self, queue: VersionQueue, key: int) -> None:
        """The predictor has the version now: what waits may run."""
        queue.key = key
        self._due(queue)
        self._pump()

    def close(self, queue: VersionQueue) -> None:
        """The version is not loaded any more; requests wait until it is again."""
        queue.key = None

    async def drain(self, queue: VersionQueue) -> None:
        """Waits until nothing of a closed queue runs. That ends by its answer or the predictor's end."""
        if queue.running is not None:
            queue.drained = self._loop.create_future()
            await queue.drained

    def refuse(self, queue: VersionQueue, error: ServiceError) -> None:
        """Answers all that waits with an error: the version will not come."""
        while queue.waiting:
            self._fail(self._pop(queue), error)
        self._queues.discard(queue)

    def answered(self, answer: BatchResult) -> None:
        batch = self._running.pop(answer.id, None)
        if batch is None:
            return
        queue = batch.queue
        self._ended(batch)
        queue.alone = len(batch.members) == 1 and not queue.waiting
        self._due(queue)
        if self._gathers:
            self._plan_pump()
        else:
            self._pump()  # the next batch runs while these answers go out
        for pending, body in zip(batch.members, answer.bodies, strict=False):
            if pending.account is not None:
                _pay_back(pending)
            reply = pending.reply
            if reply.done():
                continue
            if isinstance(body, int):
                reply.set_exception(_not_computed(pending.request.form, body))
            else:
                queued = int((batch.sent - pending.arrived) * 1e6)
                reply.set_result(PredictionResult(body, batch.rows, queued, answer.run_us))
        queue.metrics.ran(batch.rows, answer.run_us)  # what nobody waits for comes last

    def lost(self) -> None:
        """The predictor died. What it had is tried once more, each request alone; after that it is given up."""
        self.predictor = None
        running, self._running = self._running, {}
        for queue in self._turns:
            queue.due = False
        self._turns.clear()
        for batch in running.values():
            self._ended(batch)
            for pending in reversed(batch.members):
                if pending.tried or pending.reply.done():
                    self._give_up(pending)
                else:
                    pending.tried = True
                    self._back(batch.queue, pending)

    def _ended(self, batch: Batch) -> None:
        batch.queue.running = None
        if batch.queue.drained is not None:
            batch.queue.drained.set_result(None)
            batch.queue.drained = None

    def _give_up(self, pending: Pending) -> None:
        error = Unavailable("The predictor ended while it ran this request. Try again.", retry_after_s=RETRY_AFTER_S)
        self._fail(pending, error)

    def _is_free(self, queue: VersionQueue) -> bool:
        """Nobody waits, and a call of it can run now."""
        if queue.waiting or queue.running is not None or queue.key is None or self._turns:
            return False
        return len(self._running) < self.limits.in_flight and self.predictor is not None

    def _wait(self, queue: VersionQueue, pending: Pending) -> None:
        queue.waiting.append(pending)
        self._count(queue, pending)
        if queue.key is not None and queue.running is None and not queue.due:
            queue.due = True
            self._turns.append(queue)
            self._plan_pump()

    def _back(self, queue: VersionQueue, pending: Pending) -> None:
        queue.waiting.appendleft(pending)
        self._count(queue, pending)

    def _count(self, queue: VersionQueue, pending: Pending) -> None:
        rows = pending.request.count
        queue.rows += rows
        self.rows_waiting += rows
        self.bytes_waiting += pending.size
        self._queues.add(queue)

    def _due(self, queue: VersionQueue) -> None:
        if queue.waiting and queue.key is not None and queue.running is None and not queue.due:
            queue.due = True
            self._turns.append(queue)

    def _plan_pump(self) -> None:
        """Makes the next calls after the other requests that this turn of the loop brings, or the next few turns."""
        if not self._pump_planned:
            self._pump_planned = True
            turns = _GATHER_TURNS if self._gathers else 0
            self._loop.call_soon(self._gather, self.rows_waiting, turns, turns)

    def _gather(self, rows: int, turns: int, most: int) -> None:
        """Waits on as long as one of the last `most` turns brought rows."""
        if not turns or self.rows_waiting >= self.limits.batch_rows:
            self._pump()
            return
        left = most if self.rows_waiting > rows else turns - 1
        self._loop.call_soon(self._gather, self.rows_waiting, left, most)

    def _pump(self) -> None:
        self._pump_planned = False
        while self._turns and len(self._running) < self.limits.in_flight and self.predictor is not None:
            queue = self._next_turn()
            queue.due = False
            if queue.key is not None and queue.waiting and (members := self._take(queue)):
                self._send(queue, members)

    def _next_turn(self) -> VersionQueue:
        """The queue whose priority is first. One that is passed over gains a step each time, so that none waits for
        ever."""
        turns = self._turns
        if len(turns) == 1:
            return turns.popleft()
        chosen = min(turns, key=lambda queue: queue.settings.priority - queue.passed)
        turns.remove(chosen)
        chosen.passed = 0
        for queue in turns:
            queue.passed += 1
        return chosen

    def _take(self, queue: VersionQueue) -> list[Pending]:
        """The next batch: requests of one signature, in order, within the limits; none when no caller waits."""
        limits = self.limits
        if (first := self._next_wanted(queue)) is None:
            return []
        members = [first]
        if first.tried or first.request.packed is not None:
            return members
        rows, size, longest, signature = first.request.count, first.size, first.request.longest, first.request.signature
        most_rows = min(limits.batch_rows, queue.settings.batch_rows or limits.batch_rows)
        waiting, now = queue.waiting, self._clock()
        while waiting:
            pending = waiting[0]
            if pending.reply.done() or now >= pending.deadline:
                self._fail(self._pop(queue), self._too_late(queue))
                continue
            request = pending.request
            rows += request.count
            size += pending.size
            longest = max(longest, request.longest)
            if (
                rows > most_rows
                or size > limits.batch_bytes
                or request.signature != signature
                or pending.tried
                or request.packed is not None
                or rows * longest > limits.batch_cells
                or rows * longest * queue.cell_bytes > limits.batch_memory
            ):
                break
            members.append(self._pop(queue))
        return members

    def _next_wanted(self, queue: VersionQueue) -> Pending | None:
        """The next request whose caller still waits, whose time is not over and that may run; those before it are
        answered."""
        now = self._clock()
        while queue.waiting:
            pending = self._pop(queue)
            if pending.reply.done() or now >= pending.deadline:
                self._fail(pending, self._too_late(queue))
                continue
            if not pending.request.longest:
                return pending
            try:
                self._check_memory(queue, pending.request)  # it may have come before the version was loaded
                return pending
            except TooLarge as error:
                self._fail(pending, error)
        return None

    def _check_memory(self, queue: VersionQueue, request: Decoded) -> None:
        """Raises TooLarge."""
        needed = request.count * request.longest * queue.cell_bytes
        if needed > self.limits.request_memory:
            raise TooLarge(
                f"The request has {request.count} instances and a sequence of {request.longest} values; padded to the "
                f"longest that takes about {needed // 2**20} MiB, of {self.limits.request_memory // 2**20} MiB for one "
                "request. Send long sequences apart from short ones, or the request in parts."
            )

    def _pop(self, queue: VersionQueue) -> Pending:
        pending = queue.waiting.popleft()
        queue.rows -= pending.request.count
        self.rows_waiting -= pending.request.count
        self.bytes_waiting -= pending.size
        if not queue.waiting:
            self._queues.discard(queue)
        return pending

    def _send(self, queue: VersionQueue, members: list[Pending]) -> None:
        assert queue.key is not None and self.predictor is not None
        self._next_id += 1
        signature = members[0].request.signature
        run = RunBatch(
            self._next_id,
            queue.key,
            signature,
            [pending.request.count for pending in members],
            [pending.request.form for pending in members],
            batch_columns(queue.decoder.packers[signature], [pending.request for pending in members]),
            alone=not self._running and not self._turns,
            call_rows=queue.settings.batch_rows or 0,
        )
        try:
            self.predictor.run(run)
        except BadFrame:
            for pending in members:
                self._fail(pending, InvalidInput("The request is too large for one call. Send it in parts."))
            self._due(queue)
            return
        queue.running = self._running[self._next_id] = Batch(queue, members, self._clock(), sum(run.counts))

    def sweep(self) -> None:
        """Answers what waited or ran too long, and ends a predictor whose call hangs. One timer for all: one more would
        cost more than the rest of `submit`."""
        now = self._clock()
        for queue in list(self._queues):
            while queue.waiting and now >= queue.waiting[0].deadline:
                self._fail(self._pop(queue), self._too_late(queue))
        self._end_hung_predictor(now)
        for batch in self._running.values():
            for pending in batch.members:
                if now >= pending.deadline:
                    self._fail(pending, self._too_late(batch.queue))
        self._sweeper = self._loop.call_later(_SWEEP_S, self.sweep) if self._queues or self._running else None

    def _end_hung_predictor(self, now: float) -> None:
        """One that computes nothing, or whose call takes too long. What it has is tried by the spare."""
        running = self._running.values()
        sent = min((batch.sent for batch in running), default=now)
        if self.predictor is None or now - sent < _SWEEP_S:
            return
        late = any(now - one.sent >= max(self.limits.timeout_s, self._timeout_s(one.queue)) for one in running)
        if late or self.predictor.quiet_s(sent) >= self.limits.quiet_s:
            self.predictor.kill()

    def _too_late(self, queue: VersionQueue) -> ServiceError:
        if queue.key is None:
            return Unavailable("The model is being loaded. Try again.", retry_after_s=RETRY_AFTER_S)
        return Timeout(f"No prediction within {self._timeout_s(queue):g} s, or within the time that the caller gave.")

    def _timeout_s(self, queue: VersionQueue) -> float:
        own = queue.settings.timeout_s
        return self.limits.timeout_s if own is None else own

    def _fail(self, pending: Pending, error: ServiceError) -> None:
        if pending.account is not None:
            _pay_back(pending)
        if not pending.reply.done():
            pending.reply.set_exception(error)


def _pay_back(pending: Pending) -> None:
    account, pending.account = pending.account, None
    assert account is not None
    account.rows -= pending.request.count
    account.bytes -= pending.charged


def _not_computed(form: Form, instance: int) -> InvalidInput:
    """The error of a request that the model could not compute.

    Args:
        instance: the number of the one at fault, or NO_INSTANCE.
    """
    what = "the model could not compute an answer: a value is outside what its graph can take."
    if instance == NO_INSTANCE:
        return InvalidInput(what.capitalize())
    if form in (Form.COLUMN, Form.TENSORS):
        return InvalidInput.at("/inputs", f"Row {instance} of the inputs: {what}")
    key = "instances" if form == Form.ROW else "examples"
    return InvalidInput.at(f"/{key}/{instance}", f"{key[:-1].capitalize()} {instance}: {what}")
