"""RabbitMQ for tests, where it answers: `TEST_RABBITMQ_URL`, or the usual port of this machine. Tests have queues of
random names there, which are deleted at the end."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest
from kombu import Connection

from app.queue import CeleryQueue, broker_queue

URL = os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")


@functools.cache
def answers() -> bool:
    queue = CeleryQueue(URL)
    try:
        return queue.ping()
    finally:
        queue.close()


needed = pytest.mark.skipif(not answers(), reason="RabbitMQ does not answer")


@contextmanager
def own_queues(number: int, queue_type: str = "classic") -> Iterator[list[str]]:
    """Names of queues that nobody else has. They are gone at the end, with their exchanges."""
    names = [f"test-{secrets.token_hex(4)}" for _ in range(number)]
    try:
        yield names
    finally:
        with Connection(URL) as connection:
            for name in names:
                queue = broker_queue(name, URL, queue_type)(connection.default_channel)
                queue.delete()
                queue.exchange(connection.default_channel).delete()


def address() -> tuple[str, int]:
    parts = urlsplit(URL)
    return parts.hostname or "127.0.0.1", parts.port or 5672


def at(port: int) -> str:
    """The URL by another port of this machine, where a proxy listens."""
    parts = urlsplit(URL)
    user = f"{parts.username}:{parts.password}@" if parts.username else ""
    return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{port}"))


def waiting(name: str, queue_type: str = "classic") -> int:
    """How many messages lie in a queue, without those that are in a consumer's hands."""
    with Connection(URL) as connection:
        return int(broker_queue(name, URL, queue_type)(connection.default_channel).queue_declare().message_count)
