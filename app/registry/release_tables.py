"""Tables of releases, and of what came back: kept predictions and their labels. A part of `tables.py`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from app.registry.tables import Base, BigInteger, CleanText, Json


class Release(Base):
    """A plan that brings a version behind a label, and how far it is."""

    __tablename__ = "releases"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name", ondelete="CASCADE"))
    label: Mapped[str] = mapped_column(String(100))
    version: Mapped[int] = mapped_column(Integer)  # the new one
    base: Mapped[int] = mapped_column(Integer)  # the one that served when it began
    plan: Mapped[dict[str, Any]] = mapped_column(Json)
    state: Mapped[str] = mapped_column(String(12))  # RUNNING PAUSED DONE ROLLED_BACK ABORTED
    step: Mapped[int] = mapped_column(Integer)  # index into the plan's steps
    step_s: Mapped[float] = mapped_column(Float)  # how long this step ran before `step_at`
    step_at: Mapped[float] = mapped_column(Float)  # since when it runs, or is paused
    label_revision: Mapped[int] = mapped_column(Integer)  # of the label as the release set it
    reason: Mapped[str | None] = mapped_column(CleanText)  # why it waits, or ended
    created_at: Mapped[float] = mapped_column(Float)
    created_by: Mapped[str | None] = mapped_column(String(40))
    ended_at: Mapped[float | None] = mapped_column(Float)
    __table_args__ = (Index(None, "model", "created_at", "id"), Index(None, "state"))


class ReleaseEvent(Base):
    """What happened to a release, with the evidence of that moment."""

    __tablename__ = "release_events"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    release_id: Mapped[str] = mapped_column(ForeignKey("releases.id", ondelete="CASCADE"))
    at: Mapped[float] = mapped_column(Float)
    kind: Mapped[str] = mapped_column(String(20))  # started step held paused resumed done rolled_back aborted
    step: Mapped[int] = mapped_column(Integer)
    detail: Mapped[dict[str, Any]] = mapped_column(Json)
    __table_args__ = (Index(None, "release_id", "id"), {"sqlite_autoincrement": True})


class ArmCount(Base):
    """What one process counted of one version behind a divided label, in a moment; sums of old ones."""

    __tablename__ = "arm_counts"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name", ondelete="CASCADE"))
    label: Mapped[str] = mapped_column(String(100))
    revision: Mapped[int] = mapped_column(Integer)  # of the label: each change begins to count anew
    version: Mapped[int] = mapped_column(Integer)
    at: Mapped[float] = mapped_column(Float)
    counts: Mapped[dict[str, Any]] = mapped_column(Json)  # `app.releases.counts.Counts`
    __table_args__ = (Index(None, "model", "label", "revision", "at"), Index(None, "at"))


class KeptFile(Base):
    """Sampled requests and answers of a model, written at once; a Parquet file in the artifact store."""

    __tablename__ = "kept_files"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    model: Mapped[str] = mapped_column(ForeignKey("models.name", ondelete="CASCADE"))
    path: Mapped[str] = mapped_column(String(200))
    rows: Mapped[int] = mapped_column(Integer)
    bytes: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[float] = mapped_column(Float)
    __table_args__ = (Index(None, "model", "at"),)


class KeptPrediction(Base):
    """One instance in a `KeptFile`, and what was predicted for it."""

    __tablename__ = "kept_predictions"
    id: Mapped[str] = mapped_column(String(60), primary_key=True)
    file_id: Mapped[str] = mapped_column(ForeignKey("kept_files.id", ondelete="CASCADE"), index=True)
    model: Mapped[str] = mapped_column(String(100))
    version: Mapped[int] = mapped_column(Integer)
    at: Mapped[float] = mapped_column(Float)
    predicted: Mapped[dict[str, Any]] = mapped_column(Json)  # {"class": …} | {"number": …} | {}: cannot be judged
    __table_args__ = (Index(None, "model", "at"),)


class Feedback(Base):
    """What a prediction should have been. It may come before or after the prediction is on record, and again."""

    __tablename__ = "feedback"
    model: Mapped[str] = mapped_column(ForeignKey("models.name", ondelete="CASCADE"), primary_key=True)
    prediction_id: Mapped[str] = mapped_column(String(60), primary_key=True)
    label: Mapped[Any] = mapped_column(Json)
    at: Mapped[float] = mapped_column(Float, index=True)
