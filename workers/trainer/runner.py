"""Runs one attempt of any job type to its end and records it. No Celery here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, assert_never

import tensorflow as tf

import tf_estimator as est
from app.config import Settings
from app.jobs.spec import EvaluateSpec, ExportSpec, PredictSpec, TrainSpec
from app.jobs.state import ErrorKind
from app.registry.db import Database
from app.registry.jobs.attempts import Claim
from app.registry.metric_points import MetricRepository
from app.storage import Storage
from app.traces import Trace
from workers import memory
from workers.attempt import attempt_files
from workers.attempt.attempt import RunningAttempt, Stopped
from workers.attempt.heartbeat import Heartbeat
from workers.attempt.progress import ProgressBuffer
from workers.attempt.resource_usage import ResourceUsage
from workers.attempt.stop import Stop, StopSignal
from workers.jobs import evaluate, export, train
from workers.trainer import member
from workers.trainer.explain import explain

log = logging.getLogger(__name__)


def run(
    claim: Claim,
    database: Database,
    storage: Storage,
    settings: Settings,
    *,
    drain: Callable[[], bool] = lambda: False,
    started: Callable[[], object] = lambda: None,
    timings: dict[str, float] | None = None,
    trace: Trace | None = None,
) -> str:
    """Runs the attempt and records its end.

    Args:
        drain: whether the worker is to stop: the attempt then checkpoints and gives the job back.
        started: called once this process keeps the lease: for a gang's member, when it has joined the others.
        timings: when the job was submitted and claimed.
        trace: that the attempt belongs to.

    Returns:
        `succeeded failed queued cancelled` as the job stands now, or `lost` when the attempt is not ours any more.
    """
    if claim.gang is not None and claim.gang.number > 0:
        return member.run(claim, database, storage, settings, drain=drain, started=started, trace=trace)
    stop_signal, progress = StopSignal(), ProgressBuffer()
    attempt = RunningAttempt(claim, database, storage, settings, stop_signal, progress, dict(timings or {}))
    attempt.started, attempt.trace = started, trace or Trace()
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
    if claim.gang is None:
        started()
    try:
        outcome = _run(attempt)
    finally:
        heartbeat.stop()
        # Each writer of an event file has a thread, and would keep both as long as the process lives.
        tf.compat.v1.summary.FileWriterCache.clear()
        attempt_files.clear(attempt.spill_directory)
        attempt.close()
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
        from workers.jobs import predict  # with it comes Arrow, 30 MB that trainings do without

        predict.run(attempt, spec)
    else:
        assert_never(spec)


def _run(attempt: RunningAttempt) -> str:
    try:
        _run_job(attempt)
        return "succeeded"
    except Stopped as stopped:
        return _stopped(attempt, stopped.reason)
    except est.LostWorkerError as error:
        if attempt.stop_signal.reason is not None:
            return _stopped(attempt, attempt.stop_signal.reason)
        log.warning("%s", error)
        reason = "Another worker of the job died or could not be reached."
        return _ended(attempt, lambda jobs, claim: jobs.lose(claim.job_id, claim.attempt, reason))
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
