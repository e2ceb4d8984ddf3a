"""The one task, and the life of the pool child that runs it.

    Celery main ── pipe ──► pool child (one slot) ── pipe ──► trainer

The main process holds the writing end of a pipe. It closes it when it is asked to stop: the child then has its trainer
checkpoint and give the job back. When the main process dies, the pipe ends too, and the child leaves with its trainer.
A watchdog in the main process ends it when it takes no messages any more.
"""

from __future__ import annotations

import os
import select
import threading
from typing import Any

import structlog
from celery import signals
from celery.concurrency import get_implementation

from app.config import Settings
from app.log import configure
from app.private_files import only_for_us
from app.queue import TASK_NAME, is_amqp
from app.registry.db import Database, make_engine
from app.registry.workers import WorkerReport
from app.version import __version__
from workers.worker.celery_app import app
from workers.worker.presence import MainPulse, Presence, worker_name
from workers.worker.slot import Slot
from workers.worker.watchdog import Taken, Watchdog, waiting_messages

log = structlog.get_logger("worker")


class _Child:
    """What a pool child holds."""

    slot: Slot | None = None
    presence: Presence | None = None
    draining = False


class _Pipe:
    """Made by the main process before it forks."""

    read: int | None = None
    write: int | None = None


class _Main:
    """What the main process holds; `taken` is shared with the child."""

    taken = Taken()
    pulse = MainPulse()
    watchdog: Watchdog | None = None


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _log_as_json(**_: Any) -> None:
    """Instead of Celery's own set-up: its lines and ours look like those of the other parts."""
    configure(Settings().log_level)


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _prepare(sender: Any, **_: Any) -> None:
    """In the main process, before it forks."""
    if fault := wrong_pool(sender):
        raise SystemExit(fault)
    settings = Settings()
    if not settings.uses_celery:
        raise SystemExit(
            "With EXECUTOR=ray all jobs run on Ray; name their queues in RAY_QUEUES to leave others to Celery."
        )
    only_for_us(*settings.broker_directories)
    _Pipe.read, _Pipe.write = os.pipe()
    _Main.pulse.start()
    log.info("serves queues", queues=list(app.amqp.queues.consume_from))


def wrong_pool(controller: Any) -> str:
    """Why a worker cannot run with the pool that the command line asks for; empty when it can."""
    pool = get_implementation(controller.pool_cls)
    if f"{pool.__module__}.{pool.__qualname__}" != "celery.concurrency.prefork.TaskPool":
        return "A worker runs in the prefork pool only: start it with --pool=prefork, or without that option."
    if controller.concurrency != 1 or controller.options.get("autoscale"):
        return "A worker is one slot: start it with --concurrency=1, or without that option, and one worker per slot."
    return ""


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _watch_consumer(**_: Any) -> None:
    """In the main process, when it consumes for the first time."""
    if _Main.watchdog is None:
        queues = list(app.amqp.queues.consume_from)
        every_s = Settings().watchdog_s / 10
        _Main.watchdog = Watchdog(lambda: waiting_messages(app, queues), _Main.taken, every_s=every_s, looks=10)
        _Main.watchdog.start()


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _drain(**_: Any) -> None:
    """In the main process, on SIGTERM or SIGINT."""
    if _Main.watchdog is not None:
        _Main.watchdog.stop()
    if _Pipe.write is not None:
        os.close(_Pipe.write)
        _Pipe.write = None


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _start(**_: Any) -> None:
    """In a new pool child. The engine is made here: connections do not survive a fork."""
    settings = Settings()
    parent = os.getppid()
    _Main.taken.reset()
    if _Pipe.write is not None:
        os.close(_Pipe.write)
    database, name = Database(make_engine(settings)), worker_name(parent)
    slot = _Child.slot = Slot(settings, database, draining=lambda: _Child.draining, worker=name)
    queues = tuple(app.amqp.queues.consume_from)
    _Child.presence = Presence(
        database, lambda: WorkerReport(name, queues, 1, slot.devices.names, __version__), _Main.pulse.read
    )
    _Child.presence.start()
    threading.Thread(target=_Child.slot.look_after, name="look-after-trainer", daemon=True).start()
    threading.Thread(target=_watch, args=(parent,), name="watch-parent", daemon=True).start()


def _watch(parent: int) -> None:
    """Waits for the pipe's end: the main process stops, or is dead."""
    assert _Pipe.read is not None
    select.select([_Pipe.read], [], [])
    _Child.draining = True
    if _Child.slot is not None and os.getppid() != parent:
        trainer = _Child.slot.trainer
        if trainer is not None:
            trainer.kill()
        os._exit(1)
    # A stop that turns into a death must not leave an orphan.
    while os.getppid() == parent:
        threading.Event().wait(0.5)
    os._exit(1)


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _stop(**_: Any) -> None:
    if _Child.presence is not None:
        _Child.presence.leave()
        _Child.presence = None
    if _Child.slot is not None:
        _Child.slot.close()
        _Child.slot = None


_STRATEGY = {"Strategy": "workers.worker.one_at_a_time:strategy"} if is_amqp(app.conf.broker_url) else {}


@app.task(name=TASK_NAME, ignore_result=True, **_STRATEGY)  # type: ignore[untyped-decorator]
def run_attempt(job_id: str, attempt: int) -> None:
    """Claim, run, finish; nothing when the message is old."""
    if _Child.slot is None:
        log.error("this process is no pool child; start the worker with --pool=prefork")
        return
    with _Main.taken.message():
        _Child.slot.run(job_id, attempt)
