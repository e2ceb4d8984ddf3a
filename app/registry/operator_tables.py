"""Tables about who calls and what runs: tokens, stored answers, the audit, leases, workers and their model_fns. The
tables of the product itself stand in `tables.py`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from app.registry.tables import Base, BigInteger, CleanText, Json


class Token(Base):
    __tablename__ = "tokens"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(80), unique=True)  # SHA-256; the token itself is never stored
    scopes: Mapped[list[str]] = mapped_column(Json)
    created_at: Mapped[float] = mapped_column(Float)
    revoked_at: Mapped[float | None] = mapped_column(Float)


class IdempotencyKey(Base):
    __tablename__ = "idempotency_keys"
    token_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request_digest: Mapped[str] = mapped_column(String(80))
    status: Mapped[int | None] = mapped_column(Integer)  # null while the first request is in flight
    headers: Mapped[dict[str, str]] = mapped_column(Json, default=dict)
    body: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[float] = mapped_column(Float, index=True)


class AuditEntry(Base):
    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    at: Mapped[float] = mapped_column(Float, index=True)
    token_id: Mapped[str | None] = mapped_column(String(40))
    action: Mapped[str] = mapped_column(String(50))
    target: Mapped[str] = mapped_column(String(200))
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    __table_args__ = ({"sqlite_autoincrement": True},)


class Lease(Base):
    """One holder at a time, for example of the reconciler's work or of a migration."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    holder: Mapped[str] = mapped_column(String(200))
    expires_at: Mapped[float] = mapped_column(Float)


class Worker(Base):
    """A worker as it last reported itself: what it serves and with what. Its jobs stand in `jobs.worker`."""

    __tablename__ = "workers"
    name: Mapped[str] = mapped_column(String(200), primary_key=True)  # host:pid of the Celery main process
    queues: Mapped[list[str]] = mapped_column(Json)
    slots: Mapped[int] = mapped_column(Integer)
    devices: Mapped[list[str]] = mapped_column(Json)
    version: Mapped[str] = mapped_column(String(40))
    started_at: Mapped[float] = mapped_column(Float)
    seen_at: Mapped[float] = mapped_column(Float)


class CatalogueEntry(Base):
    """A `model_fn` that the operator installed on the workers, written here by the workers when they start."""

    __tablename__ = "catalogue"
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    description: Mapped[str] = mapped_column(CleanText, default="")
    params_schema: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    seen_at: Mapped[float] = mapped_column(Float)
