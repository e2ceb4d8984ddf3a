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

import msgspec

from app.errors import InvalidInput, QueueFull, ServiceError, TooLarge, Unavailable
from app.serving.batch_columns import batch_columns
from app.serving.decode import Decoded
from app.serving.model_limits import BatchLimits
from app.serving.protocol import BadFrame, BatchResult, RunBatch
from app.serving.version_queue import (
    RETRY_AFTER_S,
    Batch,
    BatchRunner,
    GuestRun,
    Pending,
    PredictionResult,
    QueueAccount,
    Reply,
    VersionQueue,
)

_SWEEP_S = 0.25
_GATHER_TURNS = 8
_ENDED = "The predictor ended while it ran this request. Try again."


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
        self._away = 0  # of those, with other lanes
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
            queue.check_memory(request, self.limits.request_memory)
        rows = request.count
        full = self.rows_waiting + rows > self.limits.queue_rows or self.bytes_waiting + size > self.limits.queue_bytes
        if full and self.rows_waiting:  # the first one is always taken
            raise QueueFull("Too many requests wait for predictions. Try again.", retry_after_s=RETRY_AFTER_S)
        most = queue.settings.queue_rows
        if most is not None and queue.rows and queue.rows + rows > most:
            raise QueueFull("Too many requests wait for this model. Try again.", retry_after_s=RETRY_AFTER_S)
        now = self._clock()
        ends = now + queue.timeout_s(self.limits.timeout_s)
        pending = Pending(request, size, now, reply, account, charged, ends if ends < deadline else deadline)
        if account is not None:
            account.rows += rows
            account.bytes += charged
        queue.last_used = now
        self._gathers = gather
        if queue.alone and not gather and now < deadline and size <= self.limits.batch_bytes and self._is_free(queue):
            self._send(queue, [pending])  # nobody comes beside it
        else:
            queue.waiting.append(pending)
            self._count(queue, pending)
            if self._due(queue):
                self._plan_pump()
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self.sweep)

    def run_guest(self, queue: VersionQueue, guest: GuestRun) -> None:
        """Queues a batch of another lane, for a version that our predictor has."""
        queue.guests.append(guest)
        queue.last_used = guest.arrived
        self._due(queue)
        self._pump()
        self._sweeper = self._sweeper or self._loop.call_later(_SWEEP_S, self.sweep)

    def open(self, queue: VersionQueue, key: int, away: BatchRunner | None = None) -> None:
        """The predictor, or that of another lane, has the version now: what waits may run."""
        queue.key, queue.away = key, away
        self._due(queue)
        self._pump()

    def close(self, queue: VersionQueue) -> None:
        """The version is not loaded any more; requests wait until it is again, and guests go elsewhere."""
        queue.key = None
        while queue.guests:
            queue.guests.popleft().not_run(began=False)

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
        if (batch := self._running.pop(answer.id, None)) is None:
            return
        queue = batch.queue
        self._ended(batch)
        if batch.guest is not None:
            batch.guest.answered(answer)
        queue.alone = len(batch.members) == 1 and not queue.waiting
        self._due(queue)
        if self._gathers:
            self._plan_pump()
        else:
            self._pump()  # the next batch runs while these answers go out
        for pending, body in zip(batch.members, answer.bodies, strict=False):
            if pending.account is not None:
                pending.pay_back()
            reply = pending.reply
            if reply.done():
                continue
            if isinstance(body, int):
                reply.set_exception(pending.not_computed(body))
            else:
                queued = int((batch.sent - pending.arrived) * 1e6)
                reply.set_result(PredictionResult(body, batch.rows, queued, answer.run_us))
        if batch.guest is None:
            queue.metrics.ran(batch.rows, answer.run_us)  # what nobody waits for comes last

    def lost(self, away: BatchRunner | None = None) -> None:
        """The predictor died, or another lane. What it had is tried once more, each request alone; after that it is
        given up."""
        if away is None:
            self.predictor = None
        for number in [number for number, batch in self._running.items() if batch.away is away]:
            self.not_run(number, began=True)

    def not_run(self, number: int, *, began: bool) -> VersionQueue | None:
        """A batch will not be answered; its queue, which is to be closed, or is.

        Args:
            began: its predictor died while it had it.
        """
        if (batch := self._running.pop(number, None)) is None:
            return None
        self._ended(batch)
        if batch.guest is not None:
            batch.guest.not_run(began=began)
        for pending in reversed(batch.members):
            if pending.reply.done() or (began and pending.tried):
                self._fail(pending, Unavailable(_ENDED, retry_after_s=RETRY_AFTER_S))
            else:
                pending.tried = pending.tried or began
                batch.queue.waiting.appendleft(pending)
                self._count(batch.queue, pending)
        return batch.queue

    def _ended(self, batch: Batch) -> None:
        self._away -= batch.away is not None
        batch.queue.running = None
        if batch.queue.drained is not None:
            batch.queue.drained.set_result(None)
            batch.queue.drained = None

    def _is_free(self, queue: VersionQueue) -> bool:
        """Nobody waits, and a call of it can run now."""
        return queue.idle and queue.key is not None and not self._turns and (queue.away is not None or self._takes)

    @property
    def _takes(self) -> bool:
        """Our own predictor can have one more call."""
        return self.predictor is not None and len(self._running) - self._away < self.limits.in_flight

    def _count(self, queue: VersionQueue, pending: Pending) -> None:
        queue.rows += pending.request.count
        self.rows_waiting += pending.request.count
        self.bytes_waiting += pending.size
        self._queues.add(queue)

    def _due(self, queue: VersionQueue) -> bool:
        """Whether it gets a turn, which it had not."""
        waits = queue.waiting or queue.guests
        if not waits or queue.key is None or queue.running is not None or queue.due:
            return False
        queue.due = True
        self._turns.append(queue)
        return True

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
        while self._turns and (queue := self._next_turn()) is not None:
            queue.due = False
            if queue.key is None or queue.running is not None:
                continue
            if queue.guests and queue.guest_is_next:
                self._send_guest(queue, queue.guests.popleft())
            elif queue.waiting and (members := self._take(queue)):
                self._send(queue, members)
            else:
                self._due(queue)

    def _next_turn(self) -> VersionQueue | None:
        """The queue whose priority is first; None: no predictor takes more. Who is passed over gains a step."""
        turns, takes = self._turns, self._takes
        if len(turns) == 1 and takes:
            return turns.popleft()
        able = [queue for queue in turns if takes or queue.away is not None]
        chosen = min(able, key=lambda queue: queue.settings.priority - queue.passed, default=None)
        for queue in able:
            queue.passed += 1
        if chosen is not None:
            turns.remove(chosen)
            chosen.passed = 0
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
                self._fail(self._pop(queue), queue.too_late(self.limits.timeout_s))
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
                self._fail(pending, queue.too_late(self.limits.timeout_s))
                continue
            if not pending.request.longest:
                return pending
            try:
                queue.check_memory(pending.request, self.limits.request_memory)  # it may have come before the load
                return pending
            except TooLarge as error:
                self._fail(pending, error)
        return None

    def _pop(self, queue: VersionQueue) -> Pending:
        pending = queue.waiting.popleft()
        queue.rows -= pending.request.count
        self.rows_waiting -= pending.request.count
        self.bytes_waiting -= pending.size
        if not queue.waiting:
            self._queues.discard(queue)
        return pending

    def _send(self, queue: VersionQueue, members: list[Pending]) -> None:
        runner = queue.away or self.predictor
        assert queue.key is not None and runner is not None
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
            runner.run(run)
        except BadFrame:
            for pending in members:
                self._fail(pending, InvalidInput("The request is too large for one call. Send it in parts."))
            self._due(queue)
            return
        self._away += queue.away is not None
        queue.running = self._running[self._next_id] = Batch(queue, members, self._clock(), sum(run.counts), queue.away)

    def _send_guest(self, queue: VersionQueue, guest: GuestRun) -> None:
        assert queue.key is not None and self.predictor is not None
        self._next_id += 1
        alone = not self._running and not self._turns
        try:
            self.predictor.run(msgspec.structs.replace(guest.run, id=self._next_id, key=queue.key, alone=alone))
        except BadFrame:  # a little longer than it came, by its numbers
            guest.not_run(began=True)
            self._due(queue)
            return
        batch = Batch(queue, [], self._clock(), sum(guest.run.counts), guest=guest)
        queue.running = self._running[self._next_id] = batch

    def sweep(self) -> None:
        """Answers what waited or ran too long, and ends a predictor whose call hangs. One timer for all: one more would
        cost more than the rest of `submit`."""
        now = self._clock()
        for queue in list(self._queues):
            while queue.waiting and now >= queue.waiting[0].deadline:
                self._fail(self._pop(queue), queue.too_late(self.limits.timeout_s))
        self._end_hung_predictor(now)
        for batch in self._running.values():
            for pending in batch.members:
                if now >= pending.deadline:
                    self._fail(pending, batch.queue.too_late(self.limits.timeout_s))
        self._sweeper = self._loop.call_later(_SWEEP_S, self.sweep) if self._queues or self._running else None

    def _end_hung_predictor(self, now: float) -> None:
        """One that computes nothing, or whose call takes too long. What it has is tried by the spare."""
        running = [batch for batch in self._running.values() if batch.away is None]
        sent = min((batch.sent for batch in running), default=now)
        if self.predictor is None or now - sent < _SWEEP_S:
            return
        most = self.limits.timeout_s
        late = any(now - one.sent >= max(most, one.queue.timeout_s(most)) for one in running)
        if late or self.predictor.quiet_s(sent) >= self.limits.quiet_s:
            self.predictor.kill()

    def _fail(self, pending: Pending, error: ServiceError) -> None:
        pending.pay_back()
        if not pending.reply.done():
            pending.reply.set_exception(error)
