"""Runs one member's part of an attempt that several workers run together; the chief's part is `runner.run`."""

from __future__ import annotations

import logging
from collections.abc import Callable

import tf_estimator as est
from app.config import Settings
from app.jobs.spec import TrainSpec
from app.registry.db import Database
from app.registry.jobs.attempts import Claim
from app.registry.jobs.gangs import SeatKey
from app.storage import Storage
from app.traces import Trace
from workers.attempt import attempt_files
from workers.attempt.attempt import RunningAttempt, Stopped
from workers.attempt.progress import ProgressBuffer
from workers.attempt.seat_beat import SeatBeat
from workers.attempt.stop import StopSignal
from workers.jobs import follow
from workers.trainer.explain import explain

log = logging.getLogger(__name__)


def run(
    claim: Claim,
    database: Database,
    storage: Storage,
    settings: Settings,
    *,
    drain: Callable[[], bool],
    started: Callable[[], object],
    trace: Trace | None = None,
) -> str:
    """Trains beside the chief, and puts a failure of this member on record.

    Returns:
        `succeeded` when its part is done, `failed` or `queued` as the job stands after a failure here, `lost` when the
        attempt ended elsewhere.
    """
    assert claim.gang is not None and isinstance(claim.spec, TrainSpec)
    attempt = RunningAttempt(claim, database, storage, settings, StopSignal(), ProgressBuffer(), {})
    attempt.started, attempt.trace = started, trace or Trace()
    beat = SeatBeat(settings, database, SeatKey(claim.job_id, claim.attempt, claim.gang.number), drain=drain)
    beat.start()
    try:
        follow.run(attempt, claim.spec)
        return "succeeded"
    except (Stopped, est.LostWorkerError) as reason:
        log.warning("The attempt ended elsewhere: %s", reason)
        return "lost"
    except Exception as error:
        kind, detail = explain(error)
        log.exception("This worker's part failed: %s", kind)
        where = f"Worker {claim.gang.number}: {detail}"
        try:
            return attempt.write(
                lambda session: attempt.attempts(session).fail(claim.job_id, claim.attempt, kind, where)
            )
        except Stopped:
            return "lost"
    finally:
        beat.stop()
        attempt_files.clear(attempt.directory)
        attempt.close()
