"""Which requests share a call, in which order versions come, and what becomes of requests when the predictor dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidInput, Overloaded, Timeout, TooLarge, Unavailable
from app.serving.batcher import Batcher
from app.serving.decode import Decoded, Decoder
from app.serving.export_description import ExportDescription, InputFeature, Output, Signature
from app.serving.metrics import VersionMetrics
from app.serving.model_limits import BatchLimits
from app.serving.protocol import BatchResult, Form
from app.serving.version_queue import VersionQueue
from tests.fakes import FakePredictor, ManualClock

OUTPUT = [Output("y", "float32", (None,))]
EXPORT = ExportDescription(
    format=1,
    features=[InputFeature("x", "float32")],
    signatures={name: Signature("predict", OUTPUT) for name in ("serving_default", "other")},
)


class Desk:
    """A batcher with its fake predictor and its clock, and queues of loaded versions."""

    def __init__(self, **limits: Any) -> None:
        self.clock = ManualClock()
        self.batcher = Batcher(BatchLimits(**limits), clock=self.clock)
        self.predictor = FakePredictor()
        self.batcher.predictor = self.predictor
        self.decoder = Decoder(EXPORT, max_rows=10_000)

    def queue(self, key: int | None = 1) -> VersionQueue:
        queue = VersionQueue(self.decoder, VersionMetrics())
        if key is not None:
            self.batcher.open(queue, key)
        return queue

    def ask(
        self, queue: VersionQueue, *values: float, signature: str = "serving_default", **options: Any
    ) -> asyncio.Future[Any]:
        rows = self.decoder.rows("serving_default", [{"x": value} for value in values])
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.batcher.submit(queue, Decoded(signature, Form.ROW, rows, 0, len(rows)), 10 * len(values), reply, **options)
        return reply

    async def pass_time(self, seconds: float) -> None:
        """Time passes, after which the batcher looks for what is over."""
        await settle()
        self.clock.advance(seconds)
        self.batcher.sweep()

    def answer(self, index: int = 0) -> None:
        run = self.predictor.runs.pop(index)
        values = np.frombuffer(run.columns[0], "<f4").tolist()  # type: ignore[arg-type]
        bodies: list[bytes | int] = []
        for count in run.counts:
            part, values = values[:count], values[count:]
            bodies.append(part.index(-1.0) if -1.0 in part else str(part).encode())
        self.batcher.answered(BatchResult(run.id, bodies, 7))

    async def turns(self, count: int) -> list[int]:
        """Of which versions the next batches are, one after the other."""
        keys = []
        for _ in range(count):
            await settle()
            keys.append(self.predictor.runs[0].key)
            self.answer()
        return keys


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


@in_loop
async def test_what_arrives_in_one_turn_shares_a_call() -> None:
    desk = Desk()
    queue = desk.queue()
    first, second = desk.ask(queue, 1.0), desk.ask(queue, 2.0, 3.0)
    await settle()
    assert [run.counts for run in desk.predictor.runs] == [[1, 2]]
    desk.answer()
    assert (await first).body == b"[1.0]"
    result = await second
    assert (result.body, result.batch_rows, result.run_us) == (b"[2.0, 3.0]", 3, 7)


@in_loop
async def test_request_that_comes_alone_again_runs_at_once_until_others_come_beside_it() -> None:
    desk = Desk(queue_rows=2)
    queue, other = desk.queue(), desk.queue(2)
    first = desk.ask(queue, 1.0)
    assert not desk.predictor.runs  # nobody knows yet whether it is alone
    await settle()
    desk.answer()
    second = desk.ask(queue, 2.0)
    assert [(run.counts, run.alone) for run in desk.predictor.runs] == [([1], True)]
    assert (desk.batcher.rows_waiting, queue.rows) == (0, 0)
    third, fourth = desk.ask(queue, 3.0), desk.ask(queue, 4.0)
    assert len(desk.predictor.runs) == 1
    assert (desk.batcher.rows_waiting, queue.rows) == (2, 2)
    desk.answer()
    assert [run.counts for run in desk.predictor.runs] == [[1, 1]]
    desk.answer()
    assert [(await reply).body for reply in (first, second, third, fourth)] == [b"[1.0]", b"[2.0]", b"[3.0]", b"[4.0]"]
    desk.ask(queue, 5.0)
    assert not desk.predictor.runs  # two came together the last time
    await settle()
    assert await desk.turns(1) == [1]
    desk.ask(other, 6.0)
    desk.ask(queue, 7.0)
    assert not desk.predictor.runs  # the other one's turn is first
    assert await desk.turns(2) == [2, 1]
    late = desk.ask(queue, 8.0, deadline=desk.clock())
    assert not desk.predictor.runs
    await settle()
    with pytest.raises(Timeout):
        await late


@in_loop
async def test_what_waits_during_a_call_is_the_next_batch() -> None:
    desk = Desk()
    queue = desk.queue()
    desk.ask(queue, 0.0)
    await settle()
    for value in range(5):
        desk.ask(queue, float(value))
    await settle()
    assert len(desk.predictor.runs) == 1
    desk.answer()
    assert [run.counts for run in desk.predictor.runs] == [[1] * 5]


@in_loop
async def test_batch_keeps_its_limit_of_rows_and_a_larger_request_goes_alone() -> None:
    desk = Desk(batch_rows=4)
    queue = desk.queue()
    for count in (2, 2, 1, 9, 1):
        desk.ask(queue, *[0.0] * count)
    counts = []
    for _ in range(4):
        await settle()
        counts.append(desk.predictor.runs[0].counts)
        desk.answer()
    assert counts == [[2, 2], [1], [9], [1]]


@in_loop
async def test_batch_has_one_signature() -> None:
    desk = Desk()
    queue = desk.queue()
    desk.ask(queue, 1.0)
    desk.ask(queue, 2.0, signature="other")
    await settle()
    assert [(run.signature, run.counts) for run in desk.predictor.runs] == [("serving_default", [1])]
    desk.answer()
    assert [(run.signature, run.counts) for run in desk.predictor.runs] == [("other", [1])]


@in_loop
async def test_versions_take_turns() -> None:
    desk = Desk(in_flight=1, batch_rows=1)
    busy, quiet = desk.queue(1), desk.queue(2)
    for _ in range(3):
        desk.ask(busy, 0.0)
    desk.ask(quiet, 0.0)
    assert await desk.turns(4) == [1, 2, 1, 1]


@in_loop
async def test_calls_in_flight_are_of_different_versions() -> None:
    desk = Desk(in_flight=2, batch_rows=1)
    lines = [desk.queue(key) for key in (1, 2, 3)]
    for queue in [*lines, *lines]:
        desk.ask(queue, 0.0)
    await settle()
    assert [run.key for run in desk.predictor.runs] == [1, 2]


@in_loop
async def test_full_queue_refuses_and_is_free_again_after_answers() -> None:
    desk = Desk(queue_rows=3)
    queue = desk.queue(None)
    desk.ask(queue, 1.0, 2.0)
    with pytest.raises(Overloaded) as refused:
        desk.ask(queue, 3.0, 4.0)
    assert refused.value.retry_after_s
    desk.batcher.open(queue, 1)
    await settle()
    assert desk.batcher.rows_waiting == desk.batcher.bytes_waiting == 0
    desk.ask(queue, 3.0, 4.0)


@in_loop
async def test_request_that_the_model_cannot_compute_fails_alone() -> None:
    desk = Desk()
    queue = desk.queue()
    good, bad = desk.ask(queue, 1.0), desk.ask(queue, -1.0)
    await settle()
    desk.answer()
    assert (await good).body == b"[1.0]"
    with pytest.raises(InvalidInput):
        await bad


@in_loop
async def test_gathered_requests_wait_a_few_turns_for_the_next_ones() -> None:
    for gather, counts in ((False, [1]), (True, [1, 1])):
        desk = Desk()
        queue = desk.queue()
        desk.ask(queue, 1.0, gather=gather)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        desk.ask(queue, 2.0, gather=gather)
        for _ in range(20):
            await asyncio.sleep(0)
        assert [run.counts for run in desk.predictor.runs] == [counts]


@in_loop
async def test_requests_of_a_dead_predictor_are_tried_once_more_one_by_one() -> None:
    desk = Desk()
    queue = desk.queue()
    futures = [desk.ask(queue, float(value)) for value in range(2)]
    await settle()
    desk.predictor.runs.clear()
    desk.batcher.close(queue)
    desk.batcher.lost()
    assert queue.running is None
    desk.batcher.predictor = desk.predictor
    desk.batcher.open(queue, 1)
    assert [run.counts for run in desk.predictor.runs] == [[1]]
    desk.answer()
    assert (await futures[0]).body == b"[0.0]"
    desk.batcher.close(queue)  # the second one dies too
    desk.batcher.lost()
    with pytest.raises(Unavailable) as gone:
        await futures[1]
    assert gone.value.retry_after_s


@in_loop
async def test_deadline_ends_waiting_and_running_requests() -> None:
    desk = Desk(timeout_s=5.0)
    unloaded, running = desk.queue(None), desk.queue(2)
    waits, runs = desk.ask(unloaded, 1.0), desk.ask(running, 1.0)
    await desk.pass_time(4.9)
    assert not waits.done() and not runs.done() and not desk.predictor.killed
    await desk.pass_time(0.2)
    with pytest.raises(Unavailable):
        await waits
    with pytest.raises(Timeout):
        await runs
    assert desk.predictor.killed  # the call itself hangs
    assert desk.batcher.rows_waiting == 0


@in_loop
async def test_the_sweep_runs_by_itself_while_requests_wait() -> None:
    desk = Desk(timeout_s=5.0)
    waits = desk.ask(desk.queue(None), 1.0)
    desk.clock.advance(5.0)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(waits, 60)


@in_loop
async def test_padding_of_long_sequences_bounds_a_batch() -> None:
    desk = Desk(batch_cells=100)
    queue = desk.queue()
    rows = desk.decoder.rows("serving_default", [{"x": 1.0}])
    for longest in (10, 10, 60):  # 2 x 10, then 3 x 60 > 100
        desk.batcher.submit(
            queue,
            Decoded("serving_default", Form.ROW, rows, longest, len(rows)),
            1,
            asyncio.get_running_loop().create_future(),
        )
    await settle()
    assert desk.predictor.runs[0].counts == [1, 1]


@in_loop
async def test_refused_line_answers_all_that_waits() -> None:
    desk = Desk()
    queue = desk.queue(None)
    future = desk.ask(queue, 1.0)
    desk.batcher.refuse(queue, Unavailable("no"))
    with pytest.raises(Unavailable):
        await future
    assert desk.batcher.rows_waiting == 0


@in_loop
async def test_predictor_that_computes_nothing_is_ended_long_before_the_deadline() -> None:
    desk = Desk(timeout_s=60.0, quiet_s=0.5)
    reply = desk.ask(desk.queue(), 1.0)
    await desk.pass_time(30.0)
    assert not desk.predictor.killed
    desk.predictor.quiet = 0.5
    await desk.pass_time(0.3)
    assert desk.predictor.killed
    assert not reply.done()
    desk.batcher.lost()
    spare = FakePredictor()
    desk.batcher.predictor = desk.predictor = spare
    desk.batcher.open(waiting_queue(desk), 2)
    desk.answer()
    assert (await reply).body == b"[1.0]"


def waiting_queue(desk: Desk) -> VersionQueue:
    (queue,) = desk.batcher._queues
    return queue


class Account:
    rows = bytes = 0


@in_loop
async def test_account_has_what_is_in_flight_and_gets_it_back_however_it_ends() -> None:
    desk = Desk(timeout_s=0.3)
    queue = desk.queue()
    account = Account()

    def submit() -> asyncio.Future[Any]:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        rows = desk.decoder.rows("serving_default", [{"x": 1.0}] * 2)
        desk.batcher.submit(queue, Decoded("serving_default", Form.ROW, rows, 0, 2), 10, reply, account, charged=10)
        return reply

    answered, left = submit(), submit()
    left.cancel()
    assert (account.rows, account.bytes) == (4, 20)
    await settle()
    desk.answer()
    await answered
    assert (account.rows, account.bytes) == (0, 0)
    late = submit()
    await desk.pass_time(0.3)
    with pytest.raises(Timeout):
        await late
    assert (account.rows, account.bytes) == (0, 0)
    desk.batcher.lost()  # what ran is tried again by nobody
    desk.batcher.refuse(queue, Unavailable("The service stops."))
    assert (account.rows, account.bytes) == (0, 0)


@in_loop
async def test_sequences_that_take_too_much_memory_are_refused_before_they_run() -> None:
    # 3 rows padded to 100 steps of 16 bytes are 4800 bytes; 2 rows are 3200
    desk = Desk(request_memory=4000, batch_memory=4000)
    queue = desk.queue(key=None)

    def submit(count: int) -> asyncio.Future[Any]:
        rows = desk.decoder.rows("serving_default", [{"x": 1.0}] * count)
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        desk.batcher.submit(queue, Decoded("serving_default", Form.ROW, rows, 100, count), 10, reply)
        return reply

    early = submit(3)  # before the version is loaded, so before its width is known
    good, next_batch = submit(2), submit(1)
    queue.cell_bytes = 16
    desk.batcher.open(queue, 1)
    with pytest.raises(TooLarge, match="padded to the longest"):
        await early
    assert [run.counts for run in desk.predictor.runs] == [[2]]
    with pytest.raises(TooLarge):
        submit(3)
    desk.answer()
    assert [run.counts for run in desk.predictor.runs] == [[1]]
    desk.answer()
    assert (await good).batch_rows == 2
    assert (await next_batch).batch_rows == 1
