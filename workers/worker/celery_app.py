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
from kombu import Exchange, Queue

from app.config import Settings
from app.jobs.routes import routes
from app.queue import celery_settings

# The same number in all three places, as Celery's Redis page asks; with early acknowledgement it only bounds how long
# a message may lie in a worker's hands before it starts.
_VISIBILITY_S = 3600


def make_app(settings: Settings) -> Celery:
    """The application for a broker; nothing is connected yet."""
    app = Celery("workers", include=["workers.worker.tasks"])
    shared = celery_settings(settings.broker_url)  # what sender and worker must agree on
    transport: dict[str, Any] = shared["broker_transport_options"] | {
        "socket_timeout": None,  # a worker waits for messages; a sender must not
        "visibility_timeout": _VISIBILITY_S,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
    }
    served = routes(settings.queue_names, settings.slot_devices)
    queues = [Queue(name, Exchange(name, type="direct"), routing_key=name) for name in served]
    app.conf.update(
        shared,
        # Without a list of its own, a worker would consume Celery's default queue, where no job is ever sent.
        task_queues=queues,
        task_default_queue=settings.queue_names[0],
        worker_pool="prefork",
        worker_concurrency=1,
        broker_transport_options=transport,
        result_backend_transport_options={"visibility_timeout": _VISIBILITY_S},
        visibility_timeout=_VISIBILITY_S,
        task_reject_on_worker_lost=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        timezone="UTC",
        enable_utc=True,
    )
    return app


app = make_app(Settings())
