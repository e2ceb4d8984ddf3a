"""The registry's tables. All times are seconds since 1970 (UTC) by the DATABASE's clock (`db.now()`), so that a host
whose clock jumps cannot expire a lease. Paths are keys relative to the artifact store's root, made by the server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    exists,
)
from sqlalchemy import BigInteger as _BigInteger
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

#: text, not JSONB: it keeps the order of keys and takes every string (JSONB refuses NUL), the same on both databases
Json = JSON
#: SQLite gives automatic keys to INTEGER columns only
BigInteger = _BigInteger().with_variant(Integer(), "sqlite")


class CleanText(TypeDecorator[str]):
    """Text of foreign origin (messages of libraries, names): what PostgreSQL cannot store (NUL, half a surrogate pair)
    is replaced, and what is too long is cut, so that a strange message cannot keep a job from being ended."""

    impl = Text
    cache_ok = True

    def __init__(self, length: int = 10_000) -> None:
        super().__init__()
        self.length = length

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value[: self.length].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Dataset(Base):
    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(CleanText(200))
    digest: Mapped[str] = mapped_column(String(80), unique=True)  # of content and schema: the same upload is one row
    format: Mapped[str] = mapped_column(String(20))
    rows: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    columns: Mapped[list[dict[str, Any]]] = mapped_column(Json)  # as the API shows them
    warnings: Mapped[list[str] | None] = mapped_column(Json)  # for its owner; None: stored by an earlier release
    path: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[float] = mapped_column(Float)
    created_by: Mapped[str | None] = mapped_column(String(40))
    __table_args__ = (Index(None, "created_at", "id"),)


class Job(Base):
    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    type: Mapped[str] = mapped_column(String(20))  # train | evaluate | export | predict
    model: Mapped[str | None] = mapped_column(String(100))
    spec: Mapped[dict[str, Any]] = mapped_column(Json)  # complete: defaults filled in, "auto" resolved
    state: Mapped[str] = mapped_column(String(12))
    attempt: Mapped[int] = mapped_column(Integer, default=0)  # the fencing token: raised by each claim
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    drain_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    queue: Mapped[str] = mapped_column(String(50))
    priority: Mapped[int] = mapped_column(Integer)
    max_attempts: Mapped[int] = mapped_column(Integer)
    counted_attempts: Mapped[int] = mapped_column(Integer, default=0)  # failures, and attempts without progress
    timeout_s: Mapped[float | None] = mapped_column(Float)  # of one attempt's run
    wait_timeout_s: Mapped[float | None] = mapped_column(Float)  # of waiting for a worker
    progress: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)  # step max_steps loss steps_per_s eta_s …
    result: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)  # ids of what the job made
    warnings: Mapped[list[str] | None] = mapped_column(Json)  # for its submitter; None: stored by an earlier release
    error_kind: Mapped[str | None] = mapped_column(String(30))  # of the last failure, also while it waits to try again
    error_detail: Mapped[str | None] = mapped_column(CleanText)
    worker: Mapped[str | None] = mapped_column(CleanText(200))
    lease_expires_at: Mapped[float | None] = mapped_column(Float)
    not_before: Mapped[float] = mapped_column(Float, default=0.0)  # since when it may run: back-off, then waiting
    sent_at: Mapped[float | None] = mapped_column(Float)  # when the broker last got its message
    devices: Mapped[int] = mapped_column(Integer, default=1, server_default="1")  # of each worker
    seats: Mapped[int] = mapped_column(Integer, default=1, server_default="1")  # workers that run it together
    forming_after: Mapped[float] = mapped_column(Float, default=0.0, server_default="0")  # others form first until then
    created_at: Mapped[float] = mapped_column(Float)
    started_at: Mapped[float | None] = mapped_column(Float)  # of the first attempt
    finished_at: Mapped[float | None] = mapped_column(Float)
    created_by: Mapped[str | None] = mapped_column(String(40))
    display_name: Mapped[str | None] = mapped_column(CleanText(200))
    estimator: Mapped[str | None] = mapped_column(String(100))  # of the (trained) estimator; stands in `spec` too
    tag_rows: Mapped[list[JobTag]] = relationship(cascade="all, delete-orphan", passive_deletes=True)

    __table_args__ = (
        Index(None, "state", "queue", "priority", "created_at", "id"),
        Index(None, "state", "lease_expires_at"),
        Index(None, "created_at", "id"),
        Index(None, "model", "created_at", "id"),
        Index(None, "state", "created_at", "id"),
        Index(None, "type", "created_at", "id"),
        Index(None, "estimator", "created_at", "id"),
    )

    @property
    def tags(self) -> list[str]:
        return sorted(row.tag for row in self.tag_rows)

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        present = {row.tag: row for row in self.tag_rows}
        self.tag_rows = [present.get(tag) or JobTag(tag=tag) for tag in {*tags}]


class JobTag(Base):
    __tablename__ = "job_tags"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(100), primary_key=True, index=True)


class JobLink(Base):
    """What a job's specification names by id (a data set, another job, a checkpoint): who needs what, and what was
    made from what."""

    __tablename__ = "job_links"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    target_id: Mapped[str] = mapped_column(String(40), primary_key=True, index=True)


class Attempt(Base):
    __tablename__ = "attempts"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    state: Mapped[str] = mapped_column(String(12))
    worker: Mapped[str] = mapped_column(CleanText(200))
    reason: Mapped[str | None] = mapped_column(CleanText)
    exit_signal: Mapped[int | None] = mapped_column(Integer)
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    resumed_from_step: Mapped[int | None] = mapped_column(BigInteger)
    first_step: Mapped[int | None] = mapped_column(BigInteger)
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    started_at: Mapped[float] = mapped_column(Float)
    ended_at: Mapped[float | None] = mapped_column(Float)


class Seat(Base):
    """A worker's place in a gang: held while the gang forms (the job is QUEUED, `attempt` is its next one) and while
    the attempt runs. Seat 0 is the chief's."""

    __tablename__ = "seats"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    worker: Mapped[str] = mapped_column(CleanText(200))
    address: Mapped[str] = mapped_column(String(255))  # host:port at which TensorFlow's peers reach it
    lease_expires_at: Mapped[float] = mapped_column(Float)
    __table_args__ = (Index(None, "lease_expires_at"),)


class Checkpoint(Base):
    __tablename__ = "checkpoints"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    attempt: Mapped[int] = mapped_column(Integer)
    step: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str] = mapped_column(String(200))  # prefix of the files: …/model.ckpt-N
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float] = mapped_column(Float)
    __table_args__ = (UniqueConstraint("job_id", "step"),)


class Evaluation(Base):
    __tablename__ = "evaluations"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)  # that measured
    train_job_id: Mapped[str | None] = mapped_column(String(40))  # whose checkpoint it is
    step: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(100), default="")
    dataset_id: Mapped[str | None] = mapped_column(String(40), index=True)
    dataset_digest: Mapped[str | None] = mapped_column(String(80))
    split: Mapped[str] = mapped_column(String(20), default="all")  # all | train | holdout
    rows: Mapped[int | None] = mapped_column(BigInteger)
    metrics: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[float] = mapped_column(Float)
    has_report: ClassVar[Any]  # whether there is an `EvaluationReport`; set below
    __table_args__ = (Index(None, "train_job_id", "step"),)


class EvaluationReport(Base):
    """Apart from its evaluation: lists of evaluations do not read the reports."""

    __tablename__ = "evaluation_reports"
    evaluation_id: Mapped[str] = mapped_column(ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True)
    report: Mapped[dict[str, Any]] = mapped_column(Json)


Evaluation.has_report = column_property(exists().where(EvaluationReport.evaluation_id == Evaluation.id))


class MetricPoint(Base):
    __tablename__ = "metric_points"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    value: Mapped[float | None] = mapped_column(Float)  # null: not a finite number
    at: Mapped[float] = mapped_column(Float)


class Export(Base):
    __tablename__ = "exports"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)  # that made it
    train_job_id: Mapped[str] = mapped_column(String(40), index=True)
    attempt: Mapped[int] = mapped_column(Integer)
    step: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str] = mapped_column(String(200))  # the SavedModel's directory
    digest: Mapped[str] = mapped_column(String(80))
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float] = mapped_column(Float)


class Model(Base):
    __tablename__ = "models"
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    created_at: Mapped[float] = mapped_column(Float)
    keep: Mapped[dict[str, Any] | None] = mapped_column(Json)  # `app.releases.keep.KeepPolicy`; null: nothing
    serving: Mapped[dict[str, Any] | None] = mapped_column(Json)  # what is set, as `ModelSettings`
    serving_revision: Mapped[int] = mapped_column(Integer, default=0, server_default="0")  # raised by each change of it
    newest: Mapped[int | None] = mapped_column(Integer)  # the highest number that was given, also if it is deleted


class Version(Base):
    __tablename__ = "versions"
    model: Mapped[str] = mapped_column(ForeignKey("models.name", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    export_id: Mapped[str] = mapped_column(ForeignKey("exports.id"), unique=True)
    job_id: Mapped[str] = mapped_column(String(40), index=True)
    lineage_id: Mapped[str] = mapped_column(String(40), unique=True)  # stands in each answer's headers
    state: Mapped[str] = mapped_column(String(12))
    reason: Mapped[str | None] = mapped_column(CleanText)  # why it was refused or failed
    promote_label: Mapped[str | None] = mapped_column(String(100))  # the label that it takes when it is AVAILABLE
    lineage: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[float] = mapped_column(Float)
    __table_args__ = (Index(None, "state", "created_at"),)


class Label(Base):
    __tablename__ = "labels"
    model: Mapped[str] = mapped_column(ForeignKey("models.name", ondelete="CASCADE"), primary_key=True)
    label: Mapped[str] = mapped_column(String(100), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    previous: Mapped[int | None] = mapped_column(Integer)  # kept warm for instant rollback
    floor: Mapped[int] = mapped_column(Integer)  # the newest version when it was last set: only a newer one promotes
    revision: Mapped[int] = mapped_column(Integer)  # its ETag: raised by each change
    updated_at: Mapped[float] = mapped_column(Float)
    canary: Mapped[int | None] = mapped_column(Integer)  # the version that gets a share of the label's requests
    per_mille: Mapped[int | None] = mapped_column(Integer)  # that share
    split_by: Mapped[str | None] = mapped_column(String(100))  # the header whose value keeps to one version
    shadow: Mapped[int | None] = mapped_column(Integer)  # the version that gets copies, and answers nobody


class Token(Base):
    __tablename__ = "tokens"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(80), unique=True)  # SHA-256; the token itself is never stored
    scopes: Mapped[list[str]] = mapped_column(Json)
    created_at: Mapped[float] = mapped_column(Float)
    revoked_at: Mapped[float | None] = mapped_column(Float)


class Outbox(Base):
    """Messages to the broker, written in the transaction of the change that causes them; sent after the commit."""

    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(String(40), index=True)
    attempt: Mapped[int] = mapped_column(Integer)  # the job's attempt counter when it was written
    queue: Mapped[str] = mapped_column(String(50))
    priority: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[float] = mapped_column(Float)
    __table_args__ = ({"sqlite_autoincrement": True},)  # a number is never used twice


class JobEvent(Base):
    """Events for watchers, in order; `id` is the SSE event id."""

    __tablename__ = "job_events"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(30))  # state | progress | checkpoint | evaluation | export | warning
    data: Mapped[dict[str, Any]] = mapped_column(Json)
    at: Mapped[float] = mapped_column(Float)
    __table_args__ = (Index(None, "job_id", "id"), {"sqlite_autoincrement": True})


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


from app.registry import release_tables  # noqa: E402, F401  # `Base.metadata` is whole wherever this module is imported
