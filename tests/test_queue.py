"""The doorbell, on a real broker."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
import redis

from app.config import Settings
from app.errors import Unavailable
from app.queue import TASK_NAME, CeleryQueue, broker_queue
from tests import rabbitmq
from tests.proxy import Proxy
from tests.tied import tied
from tests.waiting import freeze, wait_for
from workers.service import broker


class Broker:
    """The supervised broker's server, as a child of the test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            tied(broker.command(self.settings)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.client = redis.Redis(unix_socket_path=str(self.settings.broker_socket))
        wait_for(self._answers, "the broker's first answer")

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def stop(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def running(settings: Settings) -> Iterator[Broker]:
    started = Broker(settings)
    yield started
    started.stop()


@pytest.fixture
def queue(settings: Settings) -> Iterator[CeleryQueue]:
    made = CeleryQueue(settings.broker)
    yield made
    made.close()


def test_message_carries_job_and_attempt_only_and_goes_to_its_priority(running: Broker, queue: CeleryQueue) -> None:
    from kombu.utils.encoding import bytes_to_str
    from kombu.utils.json import loads

    queue.send("job_1", 3, queue="gpu", priority=2)

    assert running.client.llen("gpu\x06\x162") == 1
    message = loads(bytes_to_str(running.client.lindex("gpu\x06\x162", 0)))
    assert message["headers"]["task"] == TASK_NAME
    assert message["content-type"] == "application/json"
    import base64

    positional, named, _ = loads(base64.b64decode(message["body"]).decode())
    assert (positional, named) == ([], {"job_id": "job_1", "attempt": 3})


def test_broker_that_restarts_is_used_again(running: Broker, queue: CeleryQueue) -> None:
    queue.send("job_1", 0, queue="default", priority=5)
    running.stop()
    running.start()

    queue.send("job_2", 0, queue="default", priority=5)

    assert queue.ping()


def test_broker_that_ended_and_came_back_is_found_by_pings_on_a_kept_connection(
    running: Broker, queue: CeleryQueue
) -> None:
    assert queue.ping() and queue.ping()
    connected = int(running.client.info("stats")["total_connections_received"])
    assert queue.ping()
    assert int(running.client.info("stats")["total_connections_received"]) == connected

    running.stop()
    assert not queue.ping()
    running.start()
    wait_for(queue.ping)


def test_missing_broker_is_unavailable_at_once(queue: CeleryQueue) -> None:
    start = time.monotonic()

    assert not queue.ping()
    with pytest.raises(Unavailable):
        queue.send("job_1", 0, queue="default", priority=5)
    assert time.monotonic() - start < 20  # it tries once; with the library's own patience it would never end


def shortest_refusal(queue: CeleryQueue, name: str) -> float:
    """Seconds that the shortest of some refusals takes, while the broker is known not to answer. One of them may be
    kept waiting by a machine under load; a queue that asks the broker keeps them all waiting."""
    took = []
    for _ in range(3):
        start = time.monotonic()
        with pytest.raises(Unavailable):
            queue.send("job_3", 0, queue=name, priority=5)
        took.append(time.monotonic() - start)
    return min(took)


def test_frozen_broker_costs_one_send_two_seconds_and_the_next_none(running: Broker, queue: CeleryQueue) -> None:
    queue.send("job_1", 0, queue="default", priority=5)
    freeze(running.process.pid)
    try:
        start = time.monotonic()
        with pytest.raises(Unavailable):
            queue.send("job_2", 0, queue="default", priority=5)
        first = time.monotonic() - start
        later = shortest_refusal(queue, "default")
    finally:
        os.kill(running.process.pid, signal.SIGCONT)
    assert first > 1.5
    assert later < first / 2


@rabbitmq.needed
@pytest.mark.parametrize(("queue_type", "order"), [("classic", ["0", "2", "5", "9"]), ("quorum", None)])
def test_rabbitmq_keeps_messages_by_priority(queue_type: str, order: list[str] | None) -> None:
    from kombu import Connection

    queue = CeleryQueue(rabbitmq.URL, queue_type)
    with rabbitmq.own_queues(1, queue_type) as (name,), Connection(rabbitmq.URL) as connection:
        for priority in (5, 0, 9, 2):
            queue.send(str(priority), 1, queue=name, priority=priority)
        kept = broker_queue(name, rabbitmq.URL, queue_type)(connection.default_channel)
        got = []
        while message := kept.get(no_ack=True):
            assert message.headers["task"] == TASK_NAME
            positional, named, _ = message.payload
            assert (positional, named["attempt"]) == ([], 1)
            got.append(named["job_id"])
    queue.close()
    assert sorted(got) == ["0", "2", "5", "9"]
    assert order is None or got == order


@pytest.fixture
def far_queue() -> Iterator[tuple[CeleryQueue, Proxy, str]]:
    """A sender to RabbitMQ through a proxy, that has sent once, and a queue's name."""
    proxy = Proxy(("127.0.0.1", 0), rabbitmq.address())
    assert isinstance(proxy.address, tuple)
    queue = CeleryQueue(rabbitmq.at(proxy.address[1]))
    with rabbitmq.own_queues(1) as (name,):
        queue.send("job_1", 0, queue=name, priority=5)
        yield queue, proxy, name
    queue.close()
    proxy.close()


@rabbitmq.needed
def test_cut_connection_to_rabbitmq_is_made_anew(far_queue: tuple[CeleryQueue, Proxy, str]) -> None:
    queue, proxy, name = far_queue
    proxy.cut()

    queue.send("job_2", 0, queue=name, priority=5)

    assert rabbitmq.waiting(name) == 2
    proxy.close()
    assert not queue.ping()


@rabbitmq.needed
def test_silent_rabbitmq_costs_one_send_two_seconds_and_the_next_none(
    far_queue: tuple[CeleryQueue, Proxy, str],
) -> None:
    queue, proxy, name = far_queue
    proxy.freeze()
    start = time.monotonic()

    with pytest.raises(Unavailable):
        queue.send("job_2", 0, queue=name, priority=5)

    first = time.monotonic() - start
    assert first > 1.5
    assert shortest_refusal(queue, name) < first / 2
    assert rabbitmq.waiting(name) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"redis_url": "redis://a", "broker_url": "amqp://b"}, "set one of them"),
        ({"broker_url": "kafka://a"}, "broker_url"),
        ({"broker_queue_type": "quorum"}, "for RabbitMQ"),
    ],
)
def test_settings_of_the_broker_that_fit_nothing_are_refused(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings.model_validate(settings)
