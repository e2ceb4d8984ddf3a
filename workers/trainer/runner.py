"""Runs one attempt of any job type to its end and records it. No Celery here."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Callable
from typing import Any, assert_never

import tensorflow as tf

import tf_estimator as est
from app.config import Settings
from app.errors import Conflict, InvalidInput, NotFound, Unavailable
from app.jobs.spec import EvaluateSpec, ExportSpec, PredictSpec, TrainSpec
from app.jobs.state import ErrorKind
from app.registry.db import Database
from app.registry.jobs.attempts import Claim
from app.registry.metric_points import MetricRepository
from app.storage import Storage
from workers import memory
from workers.attempt import attempt_files
from workers.attempt.attempt import RunningAttempt, Stopped
from workers.attempt.heartbeat import Heartbeat
from workers.attempt.progress import ProgressBuffer
from workers.attempt.resource_usage import ResourceUsage
from workers.attempt.stop import Stop, StopSignal
from workers.jobs import evaluate, export, predict, train

log = logging.getLogger(__name__)


def run(
    claim: Claim,
    database: Database,
    storage: Storage,
    settings: Settings,
    *,
    drain: Callable[[], bool] = lambda: False,
    timings: dict[str, float] | None = None,
) -> str:
    """Runs the attempt and records its end.

    Args:
        drain: whether the worker is to stop: the attempt then checkpoints and gives the job back.
        timings: when the job was submitted and claimed.

    Returns:
        `succeeded failed queued cancelled` as the job stands now, or `lost` when the attempt is not ours any more.
    """
    stop_signal, progress = StopSignal(), ProgressBuffer()
    attempt = RunningAttempt(claim, database, storage, settings, stop_signal, progress, dict(timings or {}))
    attempt.mark("trainer_started")
    heartbeat = Heartbeat(
        database,
        claim.job_id,
        claim.attempt,
        stop_signal,
        progress,
        lease_s=settings.lease_s,
        every_s=settings.heartbeat_s,
        timeout_s=claim.timeout_s,
        grace_s=settings.grace_s,
        retry_backoff_s=settings.retry_backoff_s,
        usage=ResourceUsage(progress),
        drain=drain,
    )
    heartbeat.start()
    try:
        outcome = _run(attempt)
    finally:
        heartbeat.stop()
        attempt_files.clear(attempt.spill_directory)
    log.info("The attempt ended: %s.", outcome)
    return outcome


def _run_job(attempt: RunningAttempt) -> None:
    """Runs the work of the attempt's job type."""
    spec = attempt.claim.spec
    if isinstance(spec, TrainSpec):
        train.run(attempt, spec)
    elif isinstance(spec, EvaluateSpec):
        evaluate.run(attempt, spec)
    elif isinstance(spec, ExportSpec):
        export.run(attempt, spec)
    elif isinstance(spec, PredictSpec):
        predict.run(attempt, spec)
    else:
        assert_never(spec)


def _run(attempt: RunningAttempt) -> str:
    try:
        _run_job(attempt)
        return "succeeded"
    except Stopped as stopped:
        return _stopped(attempt, stopped.reason)
    except Exception as error:
        # A stop request can surface as any error of the interrupted work; the request is what counts then.
        if attempt.stop_signal.reason in (Stop.FENCED, Stop.UNREACHABLE):
            return "lost"
        kind, detail = explain(error)
        log.exception("The attempt failed: %s", kind)
        return _ended(attempt, lambda jobs, claim: jobs.fail(claim.job_id, claim.attempt, kind, detail))


def _stopped(attempt: RunningAttempt, reason: Stop) -> str:
    if reason is Stop.CANCEL:
        return _ended(attempt, lambda jobs, claim: "cancelled" if jobs.cancelled(claim.job_id, claim.attempt) else None)
    if reason is Stop.DRAIN:
        return _ended(attempt, lambda jobs, claim: jobs.release(claim.job_id, claim.attempt))
    if reason is Stop.TIMEOUT:
        detail = f"The job ran longer than its timeout_s of {attempt.claim.timeout_s:g} s."
        return _ended(attempt, lambda jobs, claim: jobs.fail(claim.job_id, claim.attempt, ErrorKind.TIMEOUT, detail))
    return "lost"


def _ended(attempt: RunningAttempt, move: Callable[[Any, Claim], str | None]) -> str:
    """Ends the attempt in the registry, with its last points and its peak memory."""
    claim, points = attempt.claim, attempt.progress.points()

    def end(session: Any) -> str | None:
        jobs = attempt.attempts(session)
        if jobs.heartbeat(claim.job_id, claim.attempt, attempt.settings.lease_s, attempt.progress.values) is None:
            return None
        MetricRepository(session).add_points(claim.job_id, claim.attempt, points)
        jobs.end_attempt(claim.job_id, claim.attempt, peak_memory_bytes=memory.peak_bytes())
        return move(jobs, claim)

    try:
        return attempt.write(end)
    except Stopped:
        return "lost"


def explain(error: BaseException) -> tuple[ErrorKind, str]:
    """Kind and detail of a failure, for the job's owner: no traceback, no paths. The log has them."""
    if isinstance(error, est.NanLossDuringTrainingError):
        at = "" if error.step is None else f" at step {error.step}"
        return ErrorKind.NAN_LOSS, f"The loss became NaN or infinite{at}. Lower the learning rate or check the data."
    if isinstance(error, InvalidInput):
        return ErrorKind.INVALID_DATA, error.detail
    if isinstance(error, NotFound | Conflict):
        return ErrorKind.INVALID_SPEC, error.detail
    if (full := _disk_full(error)) is not None:
        return ErrorKind.DISK_FULL, full
    if isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
        return ErrorKind.OUT_OF_MEMORY, "Memory ran out. Use smaller batches, layers or embeddings."
    if isinstance(error, tf.errors.InvalidArgumentError):
        return ErrorKind.INVALID_DATA, f"A batch does not fit the model: {_without_paths(str(error))}"
    if isinstance(error, ValueError | KeyError | TypeError):
        return ErrorKind.INTERNAL, f"{type(error).__name__}: {_without_paths(str(error))}"
    if isinstance(error, Unavailable):
        return ErrorKind.INTERNAL, error.detail
    return ErrorKind.INTERNAL, f"{type(error).__name__}; see the job's log."


def _disk_full(error: BaseException) -> str | None:
    """The detail of an error that a full disk caused; None for other errors. TensorFlow raises the same types for other
    causes (for EFBIG even the one that ends an input), so its message decides."""
    if not isinstance(error, OSError | tf.errors.OpError):
        return None
    number, text = getattr(error, "errno", None), str(error)
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text or "Disk quota exceeded" in text:
        return "The disk is full."
    if number == errno.EFBIG or "File too large" in text:
        return "A file grew larger than the system allows (ulimit -f, or the file system's limit)."
    return None


def _without_paths(text: str) -> str:
    """The first line without paths and TensorFlow's node names, cut at 300 characters."""
    first = re.sub(r"\{\{.*?\}\}\s*", "", (text.strip().splitlines() or [""])[0])
    return re.sub(r"(?<![\w/])/[^\s'\",;:)]+", "…", first)[:300]
