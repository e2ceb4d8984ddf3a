"""Repositories of jobs as the parts of the service make them, with the default pause between attempts."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.registry.jobs.attempts import AttemptRepository
from app.registry.jobs.reconcile import ReconcileRepository


def attempts(session: Session, *, retry_backoff_s: float = 2.0) -> AttemptRepository:
    return AttemptRepository(session, retry_backoff_s=retry_backoff_s)


def reconcile(session: Session, *, retry_backoff_s: float = 2.0) -> ReconcileRepository:
    return ReconcileRepository(session, retry_backoff_s=retry_backoff_s)
