"""The real Celery application (`celery -A` takes this module) with a trainer that needs no TensorFlow."""

from __future__ import annotations

import functools
import sys

from workers.worker import tasks
from workers.worker.celery_app import app
from workers.worker.slot import Slot
from workers.worker.trainer_handle import TrainerProcess

tasks.Slot = functools.partial(  # type: ignore[misc, assignment]
    Slot,
    start_trainer=lambda devices: TrainerProcess(devices, [sys.executable, "-m", "tests.workers.worker.fake_trainer"]),
)

__all__ = ["app"]
