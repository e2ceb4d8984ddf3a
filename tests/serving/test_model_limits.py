"""Limits and priority of one model beside others: in the queue, in turns, in memory."""

from __future__ import annotations

import pytest

from app.errors import Overloaded, Timeout
from app.serving.decode import Decoder
from app.serving.description import Description
from app.serving.export_description import BadExport
from app.serving.model_limits import ModelSettings
from app.serving.version_queue import VersionQueue
from app.serving.versions import Models
from tests.serving.test_batcher import EXPORT, Desk, in_loop, settle
from tests.serving.test_models import load, want


def own(queue: VersionQueue, **settings: float) -> VersionQueue:
    queue.settings = ModelSettings(**settings)  # type: ignore[arg-type]
    return queue


@in_loop
async def test_batch_of_a_model_has_its_own_rows_and_its_calls_too() -> None:
    desk = Desk(batch_rows=100, in_flight=2)
    small, other = own(desk.queue(1), batch_rows=2), desk.queue(2)
    for queue in (small, other):
        for _ in range(3):
            desk.ask(queue, 0.0)
    await settle()
    assert [(run.key, run.counts, run.call_rows) for run in desk.predictor.runs] == [(1, [1, 1], 2), (2, [1, 1, 1], 0)]


@in_loop
async def test_batch_rows_above_the_services_change_nothing() -> None:
    desk = Desk(batch_rows=2)
    queue = own(desk.queue(), batch_rows=50)
    for _ in range(3):
        desk.ask(queue, 0.0)
    await settle()
    assert desk.predictor.runs[0].counts == [1, 1]


@in_loop
async def test_queue_of_a_model_is_full_while_others_have_room() -> None:
    desk = Desk(queue_rows=100)
    narrow, other = own(desk.queue(None), queue_rows=3), desk.queue(None)
    desk.ask(narrow, *[0.0] * 5)  # the first one is taken, whatever its size
    with pytest.raises(Overloaded, match="this model"):
        desk.ask(narrow, 0.0)
    desk.ask(other, *[0.0] * 50)
    assert (narrow.rows, other.rows) == (5, 50)
    desk.batcher.open(narrow, 1)
    await settle()
    assert narrow.rows == 0
    desk.ask(narrow, 0.0, 0.0, 0.0)
    desk.batcher.close(narrow)
    desk.batcher.lost()  # the five rows that ran wait again
    assert narrow.rows == 8


@in_loop
async def test_deadline_of_a_model_is_its_own_and_a_longer_one_ends_no_predictor() -> None:
    desk = Desk(timeout_s=5.0)
    quick, slow, plain = own(desk.queue(None), timeout_s=1.0), own(desk.queue(2), timeout_s=20.0), desk.queue(None)
    hurried, patient, usual = desk.ask(quick, 1.0), desk.ask(slow, 1.0), desk.ask(plain, 1.0)
    await desk.pass_time(1.0)
    assert (hurried.done(), patient.done(), usual.done()) == (True, False, False)
    await desk.pass_time(18.0)
    assert (patient.done(), usual.done(), desk.predictor.killed) == (False, True, False)
    await desk.pass_time(1.0)
    with pytest.raises(Timeout, match="20 s"):
        await patient
    assert desk.predictor.killed
    for late in (hurried, usual):
        assert late.exception() is not None


@in_loop
async def test_call_that_outlasts_a_models_short_deadline_ends_no_predictor() -> None:
    desk = Desk(timeout_s=5.0)
    reply = desk.ask(own(desk.queue(), timeout_s=0.5), 1.0)
    await desk.pass_time(4.9)
    with pytest.raises(Timeout):
        await reply
    assert not desk.predictor.killed


@in_loop
async def test_first_priority_has_its_turns_first_and_the_last_one_still_gets_some() -> None:
    desk = Desk(in_flight=1, batch_rows=1)
    queues = {key: own(desk.queue(key), priority=priority) for key, priority in ((1, 8), (2, 5))}
    for _ in range(8):
        desk.ask(queues[1], 0.0)
        desk.ask(queues[2], 0.0)
    await settle()
    # 8 - 5 = 3: it is passed over three times, and has the fourth turn
    assert await desk.turns(10) == [2, 2, 2, 1, 2, 2, 2, 1, 2, 2]


@in_loop
async def test_equal_priorities_take_turns_in_their_order() -> None:
    desk = Desk(in_flight=1, batch_rows=1)
    queues = [desk.queue(key) for key in (1, 2, 3)]
    for queue in [*queues, *queues]:
        desk.ask(queue, 0.0)
    assert await desk.turns(6) == [1, 2, 3, 1, 2, 3]


def test_last_priority_is_unloaded_first_and_loaded_last() -> None:
    models = Models()
    priorities = {"last": 9, "usual": 5, "first": 0}
    models.sync([want(1, "latest", model=model, settings=ModelSettings(priority=p)) for model, p in priorities.items()])
    order = []
    while (version := models.to_load(unvalidated=True)) is not None:
        order.append(version.wanted.model)
        queue = load(models, 1, version.wanted.model).queue
        assert queue is not None
        queue.last_used = 10.0 - len(order)
    assert order == ["first", "usual", "last"]
    gone = []
    while (version := models.to_evict()) is not None:
        gone.append(version.wanted.model)
        assert version.queue is not None
        version.queue.key = None
    assert gone == ["last", "usual", "first"]


def test_memory_of_a_new_version_is_bounded_and_old_ones_stay() -> None:
    models = Models()
    small = ModelSettings(memory_bytes=99)
    models.sync([want(1, "latest", settings=small), want(2, staged=True, settings=small)])
    for number in (1, 2):
        models.versions["m", number].describe(Description(EXPORT, Decoder(EXPORT, max_rows=10), 100))
    models.versions["m", 1].check_fits(1000)
    with pytest.raises(BadExport, match="memory_bytes is 99"):
        models.versions["m", 2].check_fits(1000)


def test_settings_reach_a_queue_that_is_there_already() -> None:
    models = Models()
    models.sync([want(1, "latest")])
    queue = load(models, 1).queue
    assert queue is not None and queue.settings.timeout_s is None
    models.sync([want(1, "latest", settings=ModelSettings(timeout_s=3.0))])
    assert queue.settings.timeout_s == models.settings_of("m").timeout_s == 3.0
    assert models.settings_of("other").timeout_s is None


def test_settings_that_only_newer_code_knows_are_left_out() -> None:
    assert ModelSettings.of({"priority": 2, "of_tomorrow": 1}) == ModelSettings(priority=2)
    assert ModelSettings.of(None) == ModelSettings()
