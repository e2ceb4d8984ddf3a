"""One seat of a job on Ray: claims the job in SQL, runs its attempt in a trainer as a Celery worker does, and ends."""

from __future__ import annotations

import os
import signal
import threading

import structlog

from app.config import Settings
from app.log import configure
from app.registry.db import Database, make_engine
from app.registry.workers import WorkerReport
from app.version import __version__
from workers.worker.presence import Presence, worker_name
from workers.worker.slot import Slot

log = structlog.get_logger("on_ray")


def run_seat(job_id: str, attempt: int, devices: int, address: str) -> str | None:
    """The attempt's outcome; None: there was nothing to do. In the main thread of a process that does nothing else.

    SIGTERM has the trainer checkpoint and give the job back, within `GRACE_S`.

    Args:
        attempt: the job's attempt counter when the place was asked for.
        devices: what Ray has reserved here; which GPUs it is, Ray has told the process.
        address: of this node, for the other members of a gang.
    """
    # The trainer reads its settings from the environment, too.
    os.environ.update({"SLOT_DEVICES": str(devices), "GPUS": ""})
    os.environ.setdefault("WORKER_ADDRESS", address)
    settings = Settings()
    configure(settings.log_level)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    database, name = Database(make_engine(settings)), worker_name(os.getpid())
    slot = Slot(settings, database, draining=stopping.is_set, worker=name, keep_warm=False)
    beats = iter(range(10**9))
    # It serves no queue: it has its job.
    report = WorkerReport(name, (), 1, (settings.ray_device.lower(),) * devices, __version__)
    presence = Presence(database, lambda: report, lambda: next(beats))
    presence.start()
    try:
        return slot.run(job_id, attempt)
    finally:
        presence.leave()
        slot.close()
        database.close()
