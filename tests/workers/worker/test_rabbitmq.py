"""Real Celery workers on a real RabbitMQ; only the trainer is a fake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from tests import rabbitmq
from tests.proxy import Proxy
from tests.waiting import wait_for
from tests.workers import job_rows
from tests.workers.worker.test_celery import Running, state

pytestmark = rabbitmq.needed


@contextmanager
def on_rabbitmq(directory: Path, migrated: Path, url: str = rabbitmq.URL) -> Iterator[tuple[Running, list[str]]]:
    """A registry, workers, and two queues of their own."""
    with ExitStack() as stack:
        names = stack.enter_context(rabbitmq.own_queues(2))
        own = {"QUEUES": ",".join(names), "WATCHDOG_S": "300"}
        running = Running(directory, migrated, own, broker_url=url)
        stack.callback(running.close)
        yield running, names


def test_busy_worker_leaves_messages_to_others_and_goes_on(tmp_path: Path, migrated_sqlite: Path) -> None:
    with on_rabbitmq(tmp_path / "data", migrated_sqlite) as (running, (first, second)):

        def submitted(do: str | None, queue: str) -> str:
            job = job_rows.submit(running.database, do, queue=queue)
            for _ in range(2):  # the second one is old when it comes
                running.send(job.id, queue=queue)
            return job.id

        busy = submitted("drain", first)
        worker = running.worker()
        wait_for(lambda: state(running, busy)[1] == 1)
        others = [submitted(None, first), submitted(None, second)]

        # Of the two messages of each job none is in the worker's hands: RabbitMQ would deliver them at once.
        wait_for(lambda: [rabbitmq.waiting(name) for name in (first, second)] == [3, 2])
        running.worker()  # of the same node name
        wait_for(lambda: [state(running, job)[1] for job in others] == [1, 1])
        wait_for(lambda: [rabbitmq.waiting(name) for name in (first, second)] == [0, 0])

        psutil.Process(worker.pid).children()[0].kill()  # the slot is free again
        wait_for(lambda: len(psutil.Process(worker.pid).children(recursive=True)) >= 2)
        running.processes[-1].kill()
        running.processes[-1].wait()
        last = [submitted(None, second), submitted(None, first)]
        wait_for(lambda: [state(running, job)[1] for job in last] == [1, 1])
        assert worker.poll() is None


def test_worker_survives_the_loss_of_its_connection(tmp_path: Path, migrated_sqlite: Path) -> None:
    proxy = Proxy(("127.0.0.1", 0), rabbitmq.address())
    assert isinstance(proxy.address, tuple)
    with on_rabbitmq(tmp_path / "data", migrated_sqlite, rabbitmq.at(proxy.address[1])) as (running, (queue, _)):
        worker = running.worker(options=(f"--queues={queue}",))
        busy = job_rows.submit(running.database, "drain", queue=queue)
        running.send(busy.id, queue=queue)
        wait_for(lambda: state(running, busy.id)[1] == 1)

        proxy.cut()  # while it is busy: it connects anew, and takes nothing all the same
        wait_for(lambda: running.log().count("Connected to amqp") > 1)
        waits = job_rows.submit(running.database, queue=queue)
        running.send(waits.id, queue=queue)
        wait_for(lambda: rabbitmq.waiting(queue) == 1)

        psutil.Process(worker.pid).children()[0].kill()
        wait_for(lambda: state(running, waits.id)[1] == 1)
        proxy.cut()  # while it is idle
        last = job_rows.submit(running.database, queue=queue)
        running.send(last.id, queue=queue)
        wait_for(lambda: state(running, last.id)[1] == 1)
        assert worker.poll() is None
    proxy.close()
