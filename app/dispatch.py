"""Submit, cancel, retry: the verbs that touch both registry and queue. The registry first, in one transaction with
the message to send; the broker after the commit. While the broker does not answer, the reconciler sends later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy.orm import Session

from app import traces
from app.config import Settings
from app.errors import Overloaded, Unavailable
from app.jobs.parse import dry_run, parse_job
from app.jobs.plan import JobLimits, JobPlan
from app.queue import Queue
from app.registry.audit import AuditRepository
from app.registry.db import Database
from app.registry.events import EventRepository
from app.registry.idempotency import StoredResponse
from app.registry.job_sources import RegistrySources
from app.registry.jobs.outbox import OutboxRepository
from app.registry.jobs.repository import JobRepository
from app.registry.model_fn_catalogue import CatalogueRepository
from app.registry.tables import Job

log = structlog.get_logger("app.dispatch")

T = TypeVar("T")


class IdempotentRun(Protocol):
    """Runs the work of a request that may come twice, or gives its first answer again; `app.api.deps` has it."""

    def known(self, session: Session) -> StoredResponse | None:
        """The first answer, if there is one."""

    def run(self, session: Session, work: Callable[[], StoredResponse]) -> tuple[StoredResponse, bool]:
        """The answer, and whether it is new."""


class Dispatch:
    """Submits, cancels and retries jobs. Methods with a session work in the caller's transaction."""

    def __init__(self, settings: Settings, database: Database, queue: Queue) -> None:
        self._settings = settings
        self._database = database
        self._queue = queue
        self._lock = threading.Lock()
        """Held around each transaction that queues a job: threads wait in line here, not by chance at SQLite's lock."""

    def plan(self, body: Any) -> JobPlan:
        """The plan of a request.

        Reads the registry in a transaction of its own: checking a large body takes seconds, and a transaction that
        writes would block all other writers in the meantime.

        Raises:
            InvalidInput: with a JSON pointer to each wrong field.
        """
        settings = self._settings
        limits = JobLimits(
            settings.max_parameters,
            settings.max_columns,
            settings.max_attempts,
            settings.job_timeout_s,
            settings.job_memory_bytes or None,
            settings.job_memory_limit,
        )
        with self._database.read() as session:
            sources = RegistrySources(session)
            catalogue = [entry.name for entry in CatalogueRepository(session).list()]
            return parse_job(body, sources.dataset, sources, catalogue=catalogue, limits=limits)

    def dry_run(self, body: Any) -> dict[str, Any]:
        """A summary of the job's plan. Nothing is stored."""
        return dry_run(self.plan(body))

    def submit(
        self, body: Any, token_id: str | None, once: IdempotentRun, answer: Callable[[Job], StoredResponse]
    ) -> StoredResponse:
        """Stores a new job, QUEUED, and enqueues it after the commit.

        Args:
            body: the request's JSON.
            once: the request's idempotency key.
            answer: makes the answer from the job, inside the transaction.

        Raises:
            Overloaded: so many jobs wait already.
            InvalidInput: see `plan`.
            NotFound: what the plan names was deleted in the meantime.
        """
        with self._database.read() as session:
            known = once.known(session)
            if known is not None:
                return known
            self._check_room(session)  # before the body is checked and before waiting in line
        plan = self.plan(body)

        def work(session: Session) -> tuple[str | None, StoredResponse]:
            made: list[str] = []

            def create() -> StoredResponse:
                job = self._create(session, plan, token_id)
                session.refresh(job)
                made.append(job.id)
                return answer(job)

            given, _ = once.run(session, create)
            return (made[0] if made else None), given

        return self._queue_after_commit(work)

    def retry(self, job_id: str, token_id: str | None, answer: Callable[[Session, Job], T]) -> T:
        """Queues a failed or cancelled job again.

        Args:
            answer: makes the answer from the job, inside the transaction.

        Raises:
            NotFound, Conflict: see `JobRepository.retry`.
            Overloaded: so many jobs wait already.
        """

        def work(session: Session) -> tuple[str | None, T]:
            self._check_room(session)
            job = JobRepository(session).retry(job_id)
            AuditRepository(session).add(token_id, "job.retry", job_id)
            return job_id, answer(session, job)

        return self._queue_after_commit(work)

    def _queue_after_commit(self, work: Callable[[Session], tuple[str | None, T]]) -> T:
        """Runs a transaction that queues a job, then sends the job's message.

        Args:
            work: returns the id of the job to send, None if there is none, and the result.
        """
        with self._lock, self._database.session() as session:
            job_id, result = work(session)
        if job_id is not None:
            self.send(job_id)
        return result

    def _create(self, session: Session, plan: JobPlan, token_id: str | None) -> Job:
        self._check_room(session)
        job = JobRepository(session).create(
            plan.spec,
            queue=plan.queue,
            priority=plan.priority,
            max_attempts=plan.max_attempts,
            timeout_s=plan.timeout_s,
            wait_timeout_s=plan.wait_timeout_s,
            created_by=token_id,
            warnings=plan.warnings,
            display_name=plan.display_name,
            tags=plan.tags,
            traceparent=traces.current(),
        )
        for warning in plan.warnings:
            EventRepository(session).add(job.id, "warning", {"detail": warning})
        AuditRepository(session).add(token_id, "job.submit", job.id, {"type": plan.spec.type})
        return job

    def cancel(self, session: Session, job_id: str, token_id: str | None) -> Job:
        """Requests a job's cancellation and records who asked.

        Raises:
            NotFound, Conflict: see `JobRepository.request_cancel`.
        """
        job = JobRepository(session).request_cancel(job_id)
        AuditRepository(session).add(token_id, "job.cancel", job_id)
        return job

    def send(self, job_id: str) -> None:
        """Sends the message of a committed job. Never raises: what is not sent now, the reconciler sends."""
        try:
            with self._database.read() as session:
                waiting = OutboxRepository(session).for_job(job_id)
            for message in waiting:
                self._queue.send(message.job_id, message.attempt, queue=message.queue, priority=message.priority)
                with self._database.session() as session:
                    OutboxRepository(session).mark_sent(message)
        except Unavailable as error:
            log.warning("not sent now, the reconciler will", job_id=job_id, why=error.detail)

    def _check_room(self, session: Session) -> None:
        limit = self._settings.max_queued_jobs
        if JobRepository(session).count_queued() >= limit:
            raise Overloaded(f"{limit} jobs wait already, which is the limit. Try again later.", retry_after_s=5.0)
