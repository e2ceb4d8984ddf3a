"""The queue of wake-up messages, each of which says that a job waits. SQL is the truth; losing or doubling one changes
nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from app.errors import Unavailable
from app.jobs.routes import queue_of

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Queue as BrokerQueue

    from app.config import Settings

TASK_NAME = "workers.tasks.run_attempt"
ANSWER_WITHIN_S = 2.0
PRIORITIES = range(10)
"""0 is served first."""


class Queue(Protocol):
    def send(self, job_id: str, attempt: int, *, queue: str, priority: int) -> None:
        """Ring for a job. `attempt` is the job's attempt counter at the time of sending: a worker that finds another
        one drops the message. Raises `app.errors.Unavailable` when the broker does not answer within two seconds."""

    def ping(self) -> bool:
        """Whether the broker answers."""


class MemoryQueue:
    """For tests: remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.up = True

    def send(self, job_id: str, attempt: int, *, queue: str, priority: int) -> None:
        if not self.up:
            raise Unavailable("The broker does not answer.")
        self.sent.append((job_id, attempt))

    def ping(self) -> bool:
        return self.up


def celery_settings(broker_url: str) -> dict[str, Any]:
    """What sender and worker must agree on: JSON only, no results, early acknowledgement; with Redis one list a
    priority."""
    return {
        "broker_url": broker_url,
        "broker_transport_options": {} if is_amqp(broker_url) else _REDIS_OPTIONS,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "result_backend": None,
        "task_acks_late": False,
    }


_REDIS_OPTIONS = {
    "priority_steps": list(PRIORITIES),
    "queue_order_strategy": "priority",
    "socket_timeout": ANSWER_WITHIN_S,
    "socket_connect_timeout": ANSWER_WITHIN_S,
    "socket_keepalive": True,
    "health_check_interval": 25,
}


def is_amqp(broker_url: str) -> bool:
    """Whether a broker is RabbitMQ, not Redis."""
    return broker_url.startswith(("amqp://", "amqps://"))


def broker_queue(name: str, broker_url: str, queue_type: str) -> BrokerQueue:
    """A queue as sender and worker must both declare it. RabbitMQ refuses a declaration that differs."""
    from kombu import Exchange, Queue

    arguments = None
    if is_amqp(broker_url):
        # a quorum queue takes no number of priorities
        kind = {"x-max-priority": max(PRIORITIES)} if queue_type == "classic" else {}
        arguments = {"x-queue-type": queue_type} | kind
    return Queue(name, Exchange(name, type="direct"), routing_key=name, queue_arguments=arguments)


def _to_send(broker_url: str) -> dict[str, Any]:
    """What a sender's settings have beside those that it shares with the workers: it waits for nobody for long."""
    # kombu's default would sleep for seconds between tries to connect
    patience = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    if not is_amqp(broker_url):
        return {"broker_transport_options": _REDIS_OPTIONS | patience}
    # Without confirmation a message counts as sent once it is in this host's buffer. A pooled connection is not looked
    # after between two messages, so it has no heartbeat; one that was closed shows when it is used.
    timeouts = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), ANSWER_WITHIN_S)
    return {"broker_transport_options": {"confirm_publish": True} | timeouts | patience, "broker_heartbeat": 0}


class CeleryQueue:
    """Sends by task name, so that it needs nothing of the workers' code. Celery is imported with the first use:
    call `ping` in the background early, and no request waits for it. While the broker is away, one send in two
    seconds tries it and the others fail at once."""

    def __init__(self, broker_url: str, queue_type: str = "classic") -> None:
        self._broker_url, self._queue_type = broker_url, queue_type
        self._amqp = is_amqp(broker_url)
        self._app: Celery | None = None
        self._lock = threading.Lock()
        self._down_until = 0.0
        self._pinging = threading.Lock()
        self._pinged: Any = None  # a connection of kombu that answered the last ping
        self._no_ping_until = 0.0

    def send(self, job_id: str, attempt: int, *, queue: str, priority: int) -> None:
        if time.monotonic() < self._down_until:
            raise Unavailable("The broker does not answer.")
        message = {"job_id": job_id, "attempt": attempt}
        started = time.monotonic()
        try:
            try:
                self._send(message, queue, priority)
            except _broker_errors():
                if time.monotonic() - started > ANSWER_WITHIN_S / 4:
                    raise
                self._send(message, queue, priority)  # the pooled connection may be from before the broker's restart
        except _broker_errors() as error:
            self._down_until = time.monotonic() + ANSWER_WITHIN_S
            raise Unavailable("The broker does not answer.") from error

    def _send(self, message: dict[str, Any], queue: str, priority: int) -> None:
        app = self._celery()
        with app.pool.acquire(block=True, timeout=ANSWER_WITHIN_S) as connection:
            app.send_task(
                TASK_NAME,
                kwargs=message,
                queue=broker_queue(queue, self._broker_url, self._queue_type),
                priority=max(PRIORITIES) - priority if self._amqp else priority,  # RabbitMQ's highest goes first
                connection=connection,
                retry=False,
                ignore_result=True,
            )

    def ping(self) -> bool:
        """Whether the broker answers. While it is away, one call in two seconds tries it: to make a connection costs
        three milliseconds of processor, of which predictions that come in meanwhile know. So one that answers is kept.
        """
        with self._pinging:
            if self._pinged is not None:
                started = time.monotonic()
                try:
                    return self._answers(self._pinged)
                except _broker_errors():
                    self._drop_pinged()
                    if time.monotonic() - started > ANSWER_WITHIN_S / 4:
                        return False  # it does not answer; else the connection may be from before its restart
            if time.monotonic() < self._no_ping_until:
                return False
            try:
                self._pinged = self._celery().connection_for_write(connect_timeout=ANSWER_WITHIN_S)
                self._pinged.ensure_connection(
                    max_retries=1, interval_start=0, interval_step=0, timeout=ANSWER_WITHIN_S
                )
                return self._answers(self._pinged)
            except _broker_errors():
                self._drop_pinged()
                self._no_ping_until = time.monotonic() + ANSWER_WITHIN_S
                return False

    def _answers(self, connection: Any) -> bool:
        if self._amqp:
            connection.channel().close()
            return True
        return bool(connection.default_channel.client.ping())

    def _drop_pinged(self) -> None:
        self._pinged.close()
        self._pinged = None

    def close(self) -> None:
        with self._pinging:
            if self._pinged is not None:
                self._drop_pinged()
        with self._lock:
            if self._app is not None:
                self._app.close()
                self._app = None

    def _celery(self) -> Celery:
        with self._lock:
            if self._app is None:
                from celery import Celery

                settings = celery_settings(self._broker_url) | _to_send(self._broker_url)
                self._app = Celery("app.queue", set_as_current=False, config_source=settings)
            return self._app


class RayQueue:
    """The queue where Ray runs jobs: `workers.on_ray` reads them from SQL, and no message is sent.

    Args:
        queues: whose jobs Ray runs; empty: all.
        others: sends messages of the other queues.
    """

    def __init__(self, queues: Sequence[str], others: CeleryQueue | None) -> None:
        self._queues, self._others = frozenset(queues), others

    def send(self, job_id: str, attempt: int, *, queue: str, priority: int) -> None:
        if self._others is not None and queue_of(queue) not in self._queues:
            self._others.send(job_id, attempt, queue=queue, priority=priority)

    def ping(self) -> bool:
        return self._others is None or self._others.ping()

    def close(self) -> None:
        if self._others is not None:
            self._others.close()


def make_queue(settings: Settings) -> Queue:
    """The queue that the settings name."""
    celery = CeleryQueue(settings.broker, settings.broker_queue_type) if settings.uses_celery else None
    if settings.executor == "ray":
        return RayQueue(settings.ray_queue_names, celery)
    assert celery is not None
    return celery


def _broker_errors() -> tuple[type[Exception], ...]:
    from kombu.exceptions import ConnectionLimitExceeded, OperationalError
    from kombu.transport.pyamqp import Transport as RabbitMQ
    from redis.exceptions import RedisError

    others = (OperationalError, ConnectionLimitExceeded, RedisError, OSError)
    return (*others, *RabbitMQ.connection_errors, *RabbitMQ.channel_errors)
