"""The queue of wake-up messages, each of which says that a job waits. SQL is the truth; losing or doubling one changes
nothing."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from app.errors import Unavailable

if TYPE_CHECKING:
    from celery import Celery

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
    """What sender and worker must agree on: JSON only, no results, one list a priority, early acknowledgement."""
    return {
        "broker_url": broker_url,
        "broker_transport_options": {
            "priority_steps": list(PRIORITIES),
            "queue_order_strategy": "priority",
            "socket_timeout": ANSWER_WITHIN_S,
            "socket_connect_timeout": ANSWER_WITHIN_S,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "result_backend": None,
        "task_acks_late": False,
    }


class CeleryQueue:
    """Sends by task name, so that it needs nothing of the workers' code. Celery is imported with the first use:
    call `ping` in the background early, and no request waits for it. While the broker is away, one send in two
    seconds tries it and the others fail at once."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
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
                queue=queue,
                priority=priority,
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
                    return bool(self._pinged.default_channel.client.ping())
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
                return bool(self._pinged.default_channel.client.ping())
            except _broker_errors():
                self._drop_pinged()
                self._no_ping_until = time.monotonic() + ANSWER_WITHIN_S
                return False

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

                settings = celery_settings(self._broker_url)
                # kombu's default would sleep for seconds between tries to connect
                patience = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
                settings["broker_transport_options"] |= patience
                self._app = Celery("app.queue", set_as_current=False, config_source=settings)
            return self._app


def _broker_errors() -> tuple[type[Exception], ...]:
    from kombu.exceptions import ConnectionLimitExceeded, OperationalError
    from redis.exceptions import RedisError

    return (OperationalError, ConnectionLimitExceeded, RedisError, OSError)
