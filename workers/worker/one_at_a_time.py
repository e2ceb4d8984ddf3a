"""With RabbitMQ a busy worker takes no message into its hands.

Celery acknowledges a message when the slot begins with it, and RabbitMQ then delivers the next one, whatever the
prefetch count. That message would lie with a worker that is busy, perhaps for hours, while others are idle; and after
half an hour RabbitMQ closes the channel of a consumer that has not acknowledged (`consumer_timeout`). Late
acknowledgement would only make it the running job's own message. So the consumer is cancelled before a message is
handled and begins anew when the slot is idle: whatever the server's version, queue type and timeout, nothing stays
unacknowledged for longer than a message takes to reach the slot.

With Redis, Celery's own `worker_disable_prefetch` does this.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.worker import state
from celery.worker.strategy import default


class Gate:
    """Opens and closes the message consumer of a Celery worker's main process.

    Args:
        worker: Celery's consumer blueprint; its `task_consumer` is another one after each new connection.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._opening = self._closing = False

    def received(self, handle: Callable[..., object], message: Any, *rest: Any) -> None:
        """Gives a message to the slot, or back to the broker when the slot has one already."""
        if state.reserved_requests or self._closing:
            message.requeue()
            return
        if not self._opening:  # a consumer that is being opened is closed at once afterwards
            self._close()
        handle(message, *rest)

    def look(self) -> None:
        """Once in each round of the worker's event loop."""
        consumer = self._worker.task_consumer
        if consumer is None or self._worker.blueprint.state != bootsteps.RUN:
            return
        is_open = any(consumer.consuming_from(queue) for queue in consumer.queues)
        if is_open and state.reserved_requests:
            self._close()
        elif not is_open and not state.reserved_requests:
            self._opening = True
            try:
                consumer.consume()  # waits for the broker's answer; a message may come before that
            finally:
                self._opening = False
            if state.reserved_requests:
                self._close()

    def _close(self) -> None:
        self._closing = True
        try:
            self._worker.task_consumer.cancel()
        finally:
            self._closing = False


def strategy(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., None]:
    """Celery's handler of a task's messages, behind the gate; see `celery.app.task.Task.Strategy`. Celery asks for one
    with each new connection."""
    gate = _gate(consumer)
    consumer.hub.on_tick.add(gate.look)
    return functools.partial(gate.received, default(task, app, consumer, **options))


@functools.cache
def _gate(consumer: Any) -> Gate:
    """The one of a worker."""
    return Gate(consumer)
