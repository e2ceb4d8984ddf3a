"""A worker that lives but takes no messages: the rule by itself, and real workers on a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config import Settings
from tests.proxy import Proxy
from tests.waiting import wait_for
from tests.workers import job_rows
from tests.workers.worker.test_celery import Running, state
from workers.worker.celery_app import make_app
from workers.worker.watchdog import STUCK, Taken, Watchdog


class Kennel:
    """A watchdog that looks when it is told to."""

    def __init__(self, looks: int = 3) -> None:
        self.waiting = 0
        self.down = False
        self.ends: list[int] = []
        self.taken = Taken()
        self.dog = Watchdog(self._waiting, self.taken, every_s=1.0, looks=looks, end=self.ends.append)

    def _waiting(self) -> int:
        if self.down:
            raise ConnectionError
        return self.waiting

    def look(self, times: int) -> list[int]:
        for _ in range(times):
            self.dog.look()
        return self.ends


@pytest.fixture
def kennel() -> Kennel:
    return Kennel()


def test_idle_worker_without_messages_stays(kennel: Kennel) -> None:
    assert kennel.look(10) == []


def test_worker_that_leaves_messages_lying_ends(kennel: Kennel) -> None:
    kennel.waiting = 1
    assert kennel.look(2) == []
    assert kennel.look(1) == [STUCK]


def test_busy_worker_stays_however_many_wait(kennel: Kennel) -> None:
    kennel.waiting = 5
    with kennel.taken.message():
        assert kennel.look(10) == []
    assert kennel.look(1 + 2) == []  # the first look after the work sees that a message was taken


def test_worker_that_takes_messages_between_two_looks_stays(kennel: Kennel) -> None:
    kennel.waiting = 5
    for _ in range(10):
        with kennel.taken.message():
            pass
        assert kennel.look(1) == []


def test_broker_that_does_not_answer_starts_the_count_anew(kennel: Kennel) -> None:
    kennel.waiting = 1
    kennel.look(2)
    kennel.down = True
    kennel.look(5)
    kennel.down = False
    assert kennel.look(2) == []


def test_stopping_worker_is_left_alone(kennel: Kennel) -> None:
    kennel.waiting = 1
    kennel.dog.stop()
    assert kennel.look(5) == []


def test_new_child_does_not_hold_what_the_last_one_held(kennel: Kennel) -> None:
    with pytest.raises(RuntimeError), kennel.taken.message():
        raise RuntimeError
    assert kennel.taken.read() == (1, 1)
    kennel.taken.message().__enter__()  # and the child dies
    kennel.taken.reset()
    assert kennel.taken.read() == (2, 2)


@pytest.fixture
def running(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Running]:
    made = Running(tmp_path / "data", migrated_sqlite, {"WATCHDOG_S": "1"})
    yield made
    made.close()


def test_worker_whose_consumer_was_cancelled_ends(running: Running) -> None:
    worker = running.worker()
    wait_for(lambda: "ready." in running.log())
    with make_app(running.settings) as app:
        app.control.cancel_consumer("default", reply=True, timeout=30, limit=1)
    job = job_rows.submit(running.database)
    running.send(job.id)
    assert worker.wait(60) == STUCK
    assert state(running, job.id) == ("QUEUED", 0)

    running.worker()  # as the supervisor does
    wait_for(lambda: state(running, job.id)[1] == 1)


def test_worker_with_a_half_open_connection_ends(running: Running, tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    proxy = Proxy(path, running.settings.broker_socket)
    worker = running.worker({"REDIS_URL": Settings(redis_url=f"redis+socket://{path}").broker})
    wait_for(lambda: "ready." in running.log())
    proxy.freeze()
    lost, job = job_rows.submit(running.database), job_rows.submit(running.database)
    running.send(lost.id)  # the broker may hand this one to the dead connection
    running.send(job.id)
    assert worker.wait(30) == STUCK
    assert state(running, job.id) == ("QUEUED", 0)
    proxy.close()
