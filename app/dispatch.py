"""Submit, cancel, retry: the verbs that touch both registry and queue. The registry first, in one transaction with
the message to send; the broker after the commit. Where the broker does not answer, the reconciler sends later."""

from __future__ import annotations

import threading
from typing import Any

import structlog
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import Overloaded, Unavailable
from app.jobs.parse import dry_run, parse_job
from app.jobs.plan import JobLimits, JobPlan
from app.queue import Queue
from app.registry.audit import AuditRepository
from app.registry.catalogue import CatalogueRepository
from app.registry.db import Database
from app.registry.events import EventRepository
from app.registry.job_sources import RegistrySources
from app.registry.jobs.outbox import OutboxRepository
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Job

log = structlog.get_logger("app.dispatch")


class Dispatch:
    """Methods with a session work in the caller's transaction; call `send` after its commit."""

    def __init__(self, settings: Settings, database: Database, queue: Queue) -> None:
        self._settings = settings
        self._database = database
        self._queue = queue
        self.lock = threading.Lock()
        """Hold it around the transaction of a submit: threads wait in line here, not by chance at SQLite's lock."""

    def plan(self, body: Any) -> JobPlan:
        """What a request asks for, complete.

        Reads the registry in a transaction of its own: checking a large body takes seconds, and a transaction that
        writes would hold up all other writers meanwhile.

        Raises:
            InvalidInput: with a JSON pointer for every wrong place.
        """
        settings = self._settings
        limits = JobLimits(
            settings.max_parameters,
            settings.max_columns,
            settings.max_attempts,
            settings.job_timeout_s,
            settings.job_memory_bytes,
        )
        with self._database.read() as session:
            sources = RegistrySources(session)
            catalogue = [entry.name for entry in CatalogueRepository(session).list()]
            return parse_job(body, sources.dataset, sources, catalogue=catalogue, limits=limits)

    def dry_run(self, body: Any) -> dict[str, Any]:
        """What the job would train. Nothing is stored."""
        return dry_run(self.plan(body))

    def check_room(self) -> None:
        """Turns a submit away before it waits in line.

        Raises:
            Overloaded: so many jobs wait already.
        """
        with self._database.read() as session:
            self._check_room(session)

    def submit(self, session: Session, plan: JobPlan, token_id: str | None) -> Job:
        """A new job, QUEUED.

        Raises:
            Overloaded: so many jobs wait already.
            NotFound: what the plan names was deleted meanwhile.
        """
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
        )
        for warning in plan.warnings:
            EventRepository(session).add(job.id, "warning", {"detail": warning})
        AuditRepository(session).add(token_id, "job.submit", job.id, {"type": plan.spec.type})
        return job

    def cancel(self, session: Session, job_id: str, token_id: str | None) -> Job:
        """
        Raises:
            NotFound, Conflict: see `JobRepository.request_cancel`.
        """
        job = JobRepository(session).request_cancel(job_id)
        AuditRepository(session).add(token_id, "job.cancel", job_id)
        return job

    def retry(self, session: Session, job_id: str, token_id: str | None) -> Job:
        """
        Raises:
            NotFound, Conflict: see `JobRepository.retry`.
            Overloaded: so many jobs wait already.
        """
        self._check_room(session)
        job = JobRepository(session).retry(job_id)
        AuditRepository(session).add(token_id, "job.retry", job_id)
        return job

    def send(self, job_id: str) -> None:
        """Rings for a job that was committed. Never raises: what is not sent now, the reconciler sends."""
        try:
            with self._database.read() as session:
                waiting = OutboxRepository(session).of(job_id)
            for message in waiting:
                self._queue.send(message.job_id, message.attempt, queue=message.queue, priority=message.priority)
                with self._database.session() as session:
                    OutboxRepository(session).sent(message)
        except Unavailable as error:
            log.warning("not sent now, the reconciler will", job_id=job_id, why=error.detail)

    def _check_room(self, session: Session) -> None:
        limit = self._settings.max_queued_jobs
        if JobRepository(session).count_queued() >= limit:
            raise Overloaded(f"{limit} jobs wait already, which is the limit. Try again later.", retry_after_s=5.0)
