"""API-side queries of jobs: create, list, cancel, retry, drain. `attempts.py` has the workers' side, `reconcile.py` the
reconciler's; all three change states by `transitions.py`."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session, defer, selectinload

from app.errors import Conflict, NotFound
from app.ids import is_id, new_id
from app.jobs.spec import JobSpec, Resources, TrainSpec, encode
from app.jobs.state import ENDED, JobState, shown_state
from app.registry.db import now
from app.registry.events import record, record_submit
from app.registry.jobs.outbox import enqueue
from app.registry.jobs.search import JobFilter
from app.registry.jobs.transitions import find, transition
from app.registry.pagination import page
from app.registry.tables import Attempt, Dataset, Job, JobLink, JobTag, Seat


class JobRepository:
    """The jobs of the registry, in the caller's transaction.

    Invariants: a job changes state by the transitions of `app.jobs.state` only; each writes an event and, where the job
    is QUEUED then, a message to the broker in the same transaction; a worker whose attempt is over changes nothing.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def create(
        self,
        spec: JobSpec,
        *,
        queue: str,
        priority: int,
        max_attempts: int,
        timeout_s: float | None,
        created_by: str | None,
        wait_timeout_s: float | None = None,
        warnings: Sequence[str] = (),
        display_name: str | None = None,
        tags: Sequence[str] = (),
        traceparent: str | None = None,
    ) -> Job:
        """A new job, QUEUED. The ids of data sets, jobs and checkpoints in its specification are recorded as links; the
        trace that its request belongs to stands in its first event.

        Raises:
            NotFound: a data set that the specification names was deleted meanwhile.
        """
        content = encode(spec)
        resources = spec.resources if isinstance(spec, TrainSpec) else Resources()
        links = _named_ids(content)
        self._hold_datasets([target for target in links if is_id(target, "ds")])
        job = Job(
            id=new_id("job"),
            type=spec.type,
            model=spec.model,
            spec=content,
            state=JobState.QUEUED,
            attempt=0,
            cancel_requested=False,
            drain_requested=False,
            queue=queue,
            priority=priority,
            max_attempts=max_attempts,
            counted_attempts=0,
            timeout_s=timeout_s,
            wait_timeout_s=wait_timeout_s,
            devices=resources.devices,
            seats=resources.workers,
            forming_after=0.0,
            progress={},
            result={},
            warnings=list(warnings),
            not_before=now(),
            created_at=now(),
            created_by=created_by,
            display_name=display_name,
            estimator=(spec if isinstance(spec, TrainSpec) else spec.train_spec).estimator.type,
            tag_rows=[JobTag(tag=tag) for tag in sorted({*tags})],
        )
        self.session.add(job)
        self.session.flush()
        if links:
            self.session.execute(insert(JobLink), [{"job_id": job.id, "target_id": target} for target in links])
        record_submit(self.session, job.id, traceparent)
        enqueue(self.session, job)
        return job

    def get(self, job_id: str) -> Job:
        """A job by its id.

        Raises:
            NotFound: no such job.
        """
        return find(self.session, job_id)

    def list(
        self,
        *,
        where: JobFilter | None = None,
        page_size: int = 50,
        after: str | None = None,
        specs: bool = True,
    ) -> tuple[builtins.list[Job], str | None]:
        """A page of jobs, newest first, and the cursor of the next page. Without `specs` the rows' specifications,
        which are large, are not read.

        Raises:
            InvalidInput: `after` is no cursor of this list.
        """
        query = select(Job).options(selectinload(Job.tag_rows)).where(*(where or JobFilter()).conditions())
        if not specs:
            query = query.options(defer(Job.spec, raiseload=True))
        return page(self.session, query, [Job.created_at, Job.id], page_size=page_size, after=after)

    def count(self, where: JobFilter) -> int:
        """How many jobs the filter leaves."""
        return self.session.scalar(select(func.count()).select_from(Job).where(*where.conditions())) or 0

    def describe(self, job_id: str, changes: dict[str, Any]) -> Job:
        """Changes what a job is called: its `display_name`, its `tags`, or both.

        Raises:
            NotFound: no such job.
        """
        job = find(self.session, job_id, lock=True)
        if "display_name" in changes:
            job.display_name = changes["display_name"]
        if "tags" in changes:
            job.tags = changes["tags"]
        self.session.flush()
        return job

    def attempts(self, job_id: str) -> builtins.list[Attempt]:
        """The job's attempts, first to last."""
        return list(self.session.scalars(select(Attempt).where(Attempt.job_id == job_id).order_by(Attempt.number)))

    def seats(self, job: Job) -> builtins.list[Seat]:
        """The seats that workers hold now of a job that several run together, in order: of the attempt that runs, or of
        the next one while it forms."""
        if job.seats == 1 or job.state not in (JobState.QUEUED, JobState.RUNNING):
            return []
        runs = job.state == JobState.RUNNING
        held = Seat.lease_expires_at >= now()
        if runs:
            held |= Seat.number == 0  # the chief's lease is the job's
        seats = select(Seat).where(Seat.job_id == job.id, Seat.attempt == job.attempt + (not runs), held)
        return list(self.session.scalars(seats.order_by(Seat.number)))

    def attempts_by_job(self, job_ids: builtins.list[str]) -> dict[str, builtins.list[Attempt]]:
        """Job → its attempts, first to last, with one query; jobs without one are left out."""
        query = select(Attempt).where(Attempt.job_id.in_(job_ids)).order_by(Attempt.job_id, Attempt.number)
        found: dict[str, builtins.list[Attempt]] = {}
        for row in self.session.scalars(query):
            found.setdefault(row.job_id, []).append(row)
        return found

    def count_by_queue(self) -> dict[str, int]:
        """Queue → number of QUEUED jobs; queues without one are left out."""
        rows = self.session.execute(
            select(Job.queue, func.count()).where(Job.state == JobState.QUEUED).group_by(Job.queue)
        )
        return {queue: count for queue, count in rows}  # noqa: C416  # rows are no pairs to a type checker

    def running_progress(self) -> builtins.list[tuple[str, dict[str, Any]]]:
        """Queue and progress of each RUNNING job."""
        rows = self.session.execute(select(Job.queue, Job.progress).where(Job.state == JobState.RUNNING))
        return [(queue, progress) for queue, progress in rows]

    def count_queued(self) -> int:
        return self.session.scalar(select(func.count()).where(Job.state == JobState.QUEUED)) or 0

    def count_by_state(self) -> dict[str, int]:
        """How many jobs are in each state (states without a job are left out)."""
        rows = self.session.execute(select(Job.state, func.count()).group_by(Job.state))
        return {state: count for state, count in rows}  # noqa: C416  # rows are no pairs to a type checker

    def request_cancel(self, job_id: str) -> Job:
        """Cancels a waiting job; asks a running one to stop, which its worker learns with its next heartbeat. Asking
        twice changes nothing.

        Raises:
            NotFound: no such job.
            Conflict: the job has ended; the message says how.
        """
        job = find(self.session, job_id, lock=True)
        if job.state in ENDED:
            raise Conflict(f"The job is {job.state}: it has ended and cannot be cancelled.")
        if job.state == JobState.QUEUED:
            cancelled = transition(self.session, job_id, JobState.QUEUED, JobState.CANCELLED)
            return cancelled or find(self.session, job_id)
        if not job.cancel_requested:
            asked = update(Job).where(Job.id == job_id, Job.state == JobState.RUNNING).values(cancel_requested=True)
            self.session.execute(asked, execution_options={"synchronize_session": False})
            state = {"state": shown_state(JobState.RUNNING, True), "attempt": job.attempt}
            record(self.session, job_id, "state", state)
        return find(self.session, job_id)

    def retry(self, job_id: str) -> Job:
        """Queues a failed or cancelled job again, with all its attempts to spend; it goes on from its last checkpoint.

        Raises:
            NotFound: no such job.
            Conflict: the job is in another state, or a data set or job that it needs was deleted; the message
                says which.
        """
        job = find(self.session, job_id, lock=True)
        state = JobState(job.state)
        if state not in {JobState.FAILED, JobState.CANCELLED}:
            shown = shown_state(state, job.cancel_requested)
            raise Conflict(f"The job is {shown}: only a FAILED or CANCELLED job can be retried.")
        source = job.spec.get("source") or job.spec.get("warm_start_from")
        try:
            if source is not None:
                find(self.session, source["job"], lock=True)
            self._hold_datasets([target for target in _named_ids(job.spec) if is_id(target, "ds")])
        except NotFound as error:
            raise Conflict(f"The job cannot be retried. {error.detail}") from None
        fresh = {
            "counted_attempts": 0,
            "cancel_requested": False,
            "error_kind": None,
            "error_detail": None,
            "finished_at": None,
            "not_before": now(),
        }
        return transition(self.session, job_id, state, JobState.QUEUED, values=fresh) or find(self.session, job_id)

    def request_drain(self, *, queue: str | None = None) -> int:
        """Asks the running jobs (of one queue) to checkpoint and go back to the queue; how many were asked."""
        asked = update(Job).where(Job.state == JobState.RUNNING).values(drain_requested=True)
        if queue is not None:
            asked = asked.where(Job.queue == queue)
        result = self.session.execute(asked.returning(Job.id), execution_options={"synchronize_session": False})
        return len(result.all())

    def using(self, target_id: str, *, limit: int = 100) -> builtins.list[Job]:
        """Jobs whose specification names that data set, job or checkpoint, newest first."""
        query = select(Job).join(JobLink, JobLink.job_id == Job.id).where(JobLink.target_id == target_id)
        return list(self.session.scalars(query.order_by(Job.created_at.desc(), Job.id.desc()).limit(limit)))

    def _hold_datasets(self, ids: builtins.list[str]) -> None:
        """Keeps the data sets from being deleted before this transaction ends."""
        if not ids:
            return
        held = (
            select(Dataset.id)
            .where(Dataset.id.in_(ids))
            .order_by(Dataset.id)
            .with_for_update(read=True, key_share=True)
        )
        if len(list(self.session.scalars(held))) < len(ids):
            raise NotFound("A data set that the job names does not exist any more.")


def _named_ids(value: Any) -> builtins.list[str]:
    """The ids of data sets, jobs and checkpoints anywhere in a specification, each once."""
    if isinstance(value, str):
        return [value] if any(is_id(value, prefix) for prefix in ("ds", "job", "ckpt")) else []
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return sorted({name for item in value for name in _named_ids(item)})
    return []
