"""Worker-side queries: claim a job, extend its lease, end its attempt.

The attempt number is the fencing token. Each write carries `id = ? AND attempt = ? AND state = 'RUNNING'`: a worker
that was paused past its lease, while the reconciler gave the job to another, changes nothing and learns so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.errors import InvalidInput
from app.jobs.spec import JobSpec, decode
from app.jobs.state import HOPELESS, AttemptState, ErrorKind, JobState
from app.registry.db import now, one_at_a_time
from app.registry.events import record_progress
from app.registry.jobs.transitions import fence, transition
from app.registry.tables import Attempt, Checkpoint, Job

MAX_BACKOFF_S = 300.0

Outcome = Literal["failed", "queued", "cancelled"]
"""Where a job went whose attempt did not succeed; `cancelled` where it would have been queued but for a cancel."""


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint to go on from. `path` is its key in the artifact store, a prefix of its files' names."""

    id: str
    job_id: str
    attempt: int
    step: int
    path: str


@dataclass(frozen=True)
class GangMember:
    """One of the workers that run an attempt together.

    Attributes:
        addresses: `host:port` of all members' TensorFlow, the chief's first.
        number: this one; 0 is the chief.
    """

    addresses: tuple[str, ...]
    number: int


@dataclass(frozen=True)
class Claim:
    """The right to run one attempt, until the lease ends; with `gang`, together with other workers."""

    job_id: str
    attempt: int
    spec: JobSpec
    timeout_s: float | None
    resume: CheckpointInfo | None
    gang: GangMember | None = None


@dataclass(frozen=True)
class HeartbeatReply:
    """What a worker learns from a heartbeat: whether a user wants the job cancelled, or the operator wants it to
    checkpoint and go back to the queue."""

    cancel: bool
    drain: bool


class AttemptRepository:
    """The writes of a worker on the attempt that it runs, in the caller's transaction.

    Args:
        retry_backoff_s: the pause before the second attempt of a job that failed; it doubles with each failure.
    """

    def __init__(self, session: Session, *, retry_backoff_s: float) -> None:
        self.session = session
        self._backoff_s = retry_backoff_s

    def claim(
        self,
        job_id: str,
        attempt_seen: int,
        worker: str,
        lease_s: float,
        *,
        devices: int | None = None,
        queue_cap: int | None = None,
    ) -> Claim | None:
        """Takes the next attempt of a waiting job; None when somebody else has it, it is not waiting (any more), its
        back-off is not over, it needs more than `devices`, or `queue_cap` jobs of its queue run already. A job whose
        specification this release cannot read fails, and None is returned.

        Args:
            attempt_seen: the attempt counter in the message.
            worker: who it is, for people.
            lease_s: seconds until the job is given to another, unless a heartbeat comes.
        """
        if queue_cap is not None and self.at_cap(job_id, queue_cap):
            return None
        taken = {
            "attempt": Job.attempt + 1,
            "worker": worker,
            "lease_expires_at": now() + lease_s,
            "started_at": func.coalesce(Job.started_at, now()),
        }
        conditions = [Job.attempt == attempt_seen, Job.not_before <= now()]
        if devices is not None:
            conditions.append(Job.devices <= devices)
        event = {"worker": worker}
        job = transition(
            self.session, job_id, JobState.QUEUED, JobState.RUNNING, *conditions, values=taken, event=event
        )
        if job is None:
            return None
        resume = self._latest_checkpoint(job_id)
        self.session.add(
            Attempt(
                job_id=job_id,
                number=job.attempt,
                state=AttemptState.RUNNING,
                worker=worker,
                resumed_from_step=resume.step if resume else None,
                started_at=now(),
            )
        )
        self.session.flush()
        try:
            return self.running_claim(job)
        except InvalidInput as error:
            self.fail(job_id, job.attempt, ErrorKind.INVALID_SPEC, error.detail)
            return None

    def running_claim(self, job: Job, gang: GangMember | None = None) -> Claim:
        """The right to run a job's present attempt, for whoever claimed it.

        Raises:
            InvalidInput: this release cannot read the specification.
        """
        return Claim(job.id, job.attempt, decode(job.spec), job.timeout_s, self._latest_checkpoint(job.id), gang)

    def heartbeat(
        self, job_id: str, attempt: int, lease_s: float, progress: dict[str, Any] | None = None
    ) -> HeartbeatReply | None:
        """Extends the lease and, where given, replaces the progress. None: the attempt is over, stop without a trace.

        Args:
            progress: `step started_from_step max_steps loss steps_per_s mean_steps_per_s eta_s …`; numbers that are
                not finite are stored as null.
        """
        changes: dict[str, Any] = {"lease_expires_at": now() + lease_s}
        if progress is not None:
            changes["progress"] = progress
        statement = update(Job).where(Job.id == job_id, Job.attempt == attempt, Job.state == JobState.RUNNING)
        flags = self.session.execute(
            statement.values(**changes).returning(Job.cancel_requested, Job.drain_requested),
            execution_options={"synchronize_session": False},
        ).one_or_none()
        if flags is None:
            return None
        if progress is not None:
            record_progress(self.session, job_id, progress)
            step = progress.get("step")
            if isinstance(step, int):
                # The step that it started from comes with the progress, for the first beat may be late.
                started = progress.get("started_from_step")
                first = func.coalesce(Attempt.first_step, step if started is None else started)
                self._describe(job_id, attempt, first_step=first, last_step=step)
        return HeartbeatReply(cancel=flags.cancel_requested, drain=flags.drain_requested)

    def end_attempt(
        self,
        job_id: str,
        attempt: int,
        *,
        first_step: int | None = None,
        last_step: int | None = None,
        peak_memory_bytes: int | None = None,
        exit_signal: int | None = None,
    ) -> bool:
        """Notes facts of the running attempt, before the call that ends it. False: fenced."""
        if fence(self.session, job_id, attempt) is None:
            return False
        given = {"first_step": first_step, "last_step": last_step}
        given |= {"peak_memory_bytes": peak_memory_bytes, "exit_signal": exit_signal}
        self._describe(job_id, attempt, **{name: value for name, value in given.items() if value is not None})
        return True

    def succeed(self, job_id: str, attempt: int, result: dict[str, Any]) -> bool:
        """Ends the job; True also when a cancel came too late. False: fenced."""
        values = {"result": result, "error_kind": None, "error_detail": None}
        fenced = Job.attempt == attempt
        if transition(self.session, job_id, JobState.RUNNING, JobState.SUCCEEDED, fenced, values=values) is None:
            return False
        self._close(job_id, attempt, AttemptState.SUCCEEDED)
        return True

    def cancelled(self, job_id: str, attempt: int) -> bool:
        """Ends the job because its user asked for it. False: fenced, or nobody asked."""
        conditions = (Job.attempt == attempt, Job.cancel_requested.is_(True))
        if transition(self.session, job_id, JobState.RUNNING, JobState.CANCELLED, *conditions) is None:
            return False
        self._close(job_id, attempt, AttemptState.CANCELLED)
        return True

    def fail(
        self, job_id: str, attempt: int, kind: str, detail: str, *, hopeless: bool | None = None
    ) -> Outcome | None:
        """Ends the attempt with an error. The job fails when another attempt cannot succeed either (`HOPELESS`, memory
        that ran out twice running, or as `hopeless` says) or `max_attempts` are spent; else it is queued after a pause
        that doubles each time. None: fenced."""
        job = fence(self.session, job_id, attempt)
        if job is None:
            return None
        if hopeless is None:
            twice = kind == ErrorKind.OUT_OF_MEMORY == job.error_kind
            hopeless = twice or kind in HOPELESS
        self._close(job_id, attempt, AttemptState.FAILED, f"{kind}: {detail}")
        return self._leave(job, kind, detail, counted=True, hopeless=hopeless, failure=True)

    def lose(
        self,
        job_id: str,
        attempt: int,
        reason: str,
        exit_signal: int | None = None,
        peak_memory_bytes: int | None = None,
    ) -> Outcome | None:
        """Ends an attempt whose process died or fell silent. It counts towards `max_attempts` only if it committed no
        checkpoint beyond the one it started from. None: fenced."""
        job = fence(self.session, job_id, attempt)
        if job is None:
            return None
        facts = {"exit_signal": exit_signal, "peak_memory_bytes": peak_memory_bytes}
        self._describe(job_id, attempt, **{name: value for name, value in facts.items() if value is not None})
        self._close(job_id, attempt, AttemptState.LOST, reason)
        return self._leave(job, ErrorKind.LOST, reason, counted=not self._moved_forward(job))

    def release(
        self, job_id: str, attempt: int, reason: str = "The worker was stopped and gave the job back."
    ) -> Outcome | None:
        """Gives a job back that was checkpointed because its worker stops; it waits in its old place. Counted like
        `lose`. None: fenced."""
        job = fence(self.session, job_id, attempt)
        if job is None:
            return None
        self._close(job_id, attempt, AttemptState.DRAINED, reason)
        return self._leave(job, ErrorKind.LOST, reason, counted=not self._moved_forward(job))

    def _leave(
        self, job: Job, kind: str, detail: str, *, counted: bool, hopeless: bool = False, failure: bool = False
    ) -> Outcome:
        """Moves a job whose attempt has ended without success; the caller holds its lock. A failure is remembered
        while the job waits; a loss shows only if the job fails of it."""
        spent = job.counted_attempts + counted
        error: dict[str, Any] = {"error_kind": kind, "error_detail": detail}
        fenced = Job.attempt == job.attempt
        if hopeless or (spent >= job.max_attempts and not job.cancel_requested):
            values = error | {"counted_attempts": spent}
            event = {"error": {"kind": kind, "detail": detail}}
            transition(self.session, job.id, JobState.RUNNING, JobState.FAILED, fenced, values=values, event=event)
            return "failed"
        if job.cancel_requested:
            transition(self.session, job.id, JobState.RUNNING, JobState.CANCELLED, fenced)
            return "cancelled"
        pause = min(self._backoff_s * 2.0 ** (spent - 1), MAX_BACKOFF_S) if counted else 0.0
        values = {"counted_attempts": spent, "not_before": now() + pause} | (error if failure else {})
        why = {"reason": detail, "pause_s": pause}
        transition(self.session, job.id, JobState.RUNNING, JobState.QUEUED, fenced, values=values, event=why)
        return "queued"

    def _moved_forward(self, job: Job) -> bool:
        """Whether the current attempt committed a checkpoint beyond the step that it started from."""
        started = select(func.coalesce(Attempt.resumed_from_step, 0)).where(
            Attempt.job_id == job.id, Attempt.number == job.attempt
        )
        newer = select(Checkpoint.id).where(
            Checkpoint.job_id == job.id,
            Checkpoint.attempt == job.attempt,
            Checkpoint.step > started.scalar_subquery(),
        )
        return self.session.scalar(select(newer.exists())) is True

    def _latest_checkpoint(self, job_id: str) -> CheckpointInfo | None:
        query = select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.step.desc()).limit(1)
        row = self.session.scalar(query)
        return CheckpointInfo(row.id, row.job_id, row.attempt, row.step, row.path) if row else None

    def _describe(self, job_id: str, attempt: int, **values: Any) -> None:
        if values:
            self.session.execute(
                update(Attempt).where(Attempt.job_id == job_id, Attempt.number == attempt).values(**values),
                execution_options={"synchronize_session": False},
            )

    def _close(self, job_id: str, attempt: int, state: AttemptState, reason: str | None = None) -> None:
        self._describe(job_id, attempt, state=state, reason=reason, ended_at=now())

    def at_cap(self, job_id: str, cap: int) -> bool:
        """Whether the job's queue runs `cap` jobs already. Claims of capped queues wait for each other, or two could
        take the last place."""
        queue = self.session.scalar(select(Job.queue).where(Job.id == job_id))
        one_at_a_time(self.session, f"queue {queue}")
        return jobs_running(self.session, queue) >= cap


def jobs_running(session: Session, queue: str | None) -> int:
    """How many jobs of a queue run."""
    count = select(func.count()).where(Job.state == JobState.RUNNING, Job.queue == queue)
    return session.scalar(count) or 0
