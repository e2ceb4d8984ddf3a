"""Jobs in a registry, for tests of the workers."""

from __future__ import annotations

from typing import Any

from app.registry.db import Database
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Attempt, Job
from tests.specs import job_spec


def submit(database: Database, do: str | None = None, *, memory_limit: int | None = None, **fields: Any) -> Job:
    """A queued job; `do` is what a fake trainer is to do with it."""
    args = {} if do is None else {"do": do}
    given = {"queue": "default", "priority": 5, "max_attempts": 3, "timeout_s": None}
    with database.session() as session:
        return JobRepository(session).create(
            job_spec(model="m", estimator={"args": args}, memory_limit_bytes=memory_limit),
            created_by=None,
            **(given | fields),
        )


def job(database: Database, job_id: str) -> Job:
    with database.read() as session:
        return JobRepository(session).get(job_id)


def attempts(database: Database, job_id: str) -> list[Attempt]:
    with database.read() as session:
        return JobRepository(session).attempts(job_id)
