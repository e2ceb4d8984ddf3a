"""A registry with something in it, for the repositories' tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.ids import new_id
from app.registry.datasets import DatasetRepository
from app.registry.db import Database, now
from app.registry.exports import ExportRepository
from app.registry.jobs.attempts import Claim
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Dataset, Export, Job
from tests.repositories import attempts
from tests.specs import job_spec

_numbers = itertools.count()


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """One write transaction for the whole test."""
    with database.session() as opened:
        yield opened


@pytest.fixture
def jobs(session: Session) -> JobRepository:
    return JobRepository(session)


def make_job(
    session: Session,
    *,
    type: str = "train",
    model: str = "penguins",
    spec: dict[str, Any] | None = None,
    **changes: Any,
) -> Job:
    """A job; `spec` is merged into the specification of a small one."""
    values: dict[str, Any] = {
        "queue": "default",
        "priority": 5,
        "max_attempts": 3,
        "timeout_s": None,
        "created_by": None,
    }
    return JobRepository(session).create(job_spec(type, model, **(spec or {})), **(values | changes))


def make_claim(session: Session, job: Job | None = None, lease_s: float = 60) -> Claim:
    """A job that runs, by its next attempt."""
    job = job or make_job(session)
    due(session, job.id)
    claim = attempts(session).claim(job.id, JobRepository(session).get(job.id).attempt, "worker", lease_s)
    assert claim is not None
    return claim


def make_export(session: Session, claim: Claim | None = None, **changes: Any) -> Export:
    claim = claim or make_claim(session)
    number = next(_numbers)
    values = {"train_job_id": claim.job_id, "step": 100, "path": f"exports/{number}", "digest": "sha256:0", "bytes": 1}
    export = ExportRepository(session).add(claim.job_id, claim.attempt, **(values | changes))
    assert export is not None
    return export


def make_dataset(session: Session, **changes: Any) -> Dataset:
    identifier = new_id("ds")
    values: dict[str, Any] = {
        "name": "penguins.csv",
        "digest": f"sha256:{identifier}",
        "format": "csv",
        "rows": 344,
        "bytes": 10_000,
        "columns": [{"name": "species", "dtype": "string"}],
        "path": f"datasets/{identifier}",
        "created_by": None,
        "dataset_id": identifier,
    }
    return DatasetRepository(session).add(**(values | changes))


def due(session: Session, job_id: str) -> None:
    """Ends the job's back-off."""
    session.execute(update(Job).where(Job.id == job_id).values(not_before=now()))


def past_lease(session: Session, job_id: str) -> None:
    """Moves the end of the job's lease into the past, as if its worker had been silent."""
    session.execute(update(Job).where(Job.id == job_id).values(lease_expires_at=now() - 1))
