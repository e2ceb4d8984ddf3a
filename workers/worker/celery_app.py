"""The Celery application of the workers: `celery -A workers.celery_app worker`.

A worker is one slot: a main process, one pool child and its trainer. The application itself sets the pool, its size
and, from the setting QUEUES, the queues; `--queues` on the command line replaces the latter.

A message is only a wake-up (`{job_id, attempt}`): it is acknowledged when it is taken, kept by nobody, and may be lost
or doubled; leases in SQL and the reconciler decide. So there is no result backend, and no timeout of the broker can
make a job run twice.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Queue

from app.config import Settings
from app.jobs.routes import routes
from app.queue import broker_queue, celery_settings, is_amqp

# The same number in all three places, as Celery's Redis page asks; with early acknowledgement it only bounds how long
# a message may lie in a worker's hands before it starts.
_VISIBILITY_S = 3600


def make_app(settings: Settings) -> Celery:
    """The application for a broker; nothing is connected yet."""
    app = Celery("workers", include=["workers.worker.tasks"])
    served = routes(settings.queue_names, settings.slot_devices)

    def queue(name: str) -> Queue:
        return broker_queue(name, settings.broker, settings.broker_queue_type)

    app.conf.update(
        celery_settings(settings.broker),  # what sender and worker must agree on
        # Without a list of its own, a worker would consume Celery's default queue, where no job is ever sent.
        task_queues=[queue(name) for name in served],
        task_default_queue=settings.queue_names[0],
        worker_pool="prefork",
        worker_concurrency=1,
        task_reject_on_worker_lost=False,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        timezone="UTC",
        enable_utc=True,
    )
    app.conf.update(_RABBITMQ if is_amqp(settings.broker) else _redis(app.conf.broker_transport_options))
    app.amqp.queues.new_missing = queue  # queues of the command line
    return app


_RABBITMQ = {
    # A connection whose other end is gone without a word is found by them. That a busy slot leaves its messages at the
    # broker is the work of `workers/worker/one_at_a_time.py`.
    "broker_heartbeat": 20.0,
    # An exclusive queue would end a second worker of the same node name, and one that connects anew while RabbitMQ
    # still holds its old connection; a transient one that is not exclusive is refused from RabbitMQ 4.3 on.
    "control_queue_exclusive": False,
    "control_queue_durable": True,
}


def _redis(shared: dict[str, Any]) -> dict[str, Any]:
    """Settings that only workers with Redis have, whose other transport options are given."""
    transport = shared | {
        "socket_timeout": None,  # a worker waits for messages; a sender must not
        "visibility_timeout": _VISIBILITY_S,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
    }
    return {
        "broker_transport_options": transport,
        "result_backend_transport_options": {"visibility_timeout": _VISIBILITY_S},
        "visibility_timeout": _VISIBILITY_S,
        "worker_disable_prefetch": True,
    }


app = make_app(Settings())
