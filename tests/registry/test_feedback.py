"""Kept predictions and labels on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.registry.audit import AuditRepository
from app.registry.db import now
from app.registry.feedback import FeedbackRepository, new_file_id
from app.registry.release_tables import Feedback, KeptFile, KeptPrediction
from app.registry.served_versions import ServedVersionRepository
from tests.registry.test_models import available

KEEP: dict[str, Any] = {"per_mille": 1000, "days": 2.0, "bytes": 250, "redact": ["name"]}


@pytest.fixture
def feedback(session: Session) -> FeedbackRepository:
    available(session)
    return FeedbackRepository(session)


def add(feedback: FeedbackRepository, *ids: str, version: int = 1, at: float = 100.0, size: int = 100) -> str:
    """A file with a prediction for each id; its key."""
    file_id = new_file_id()
    rows = [{"id": name, "version": version, "at": at, "predicted": {"number": 1.0}} for name in ids]
    assert feedback.add_file("m", file_id, f"kept/{file_id}", size, rows)
    return f"kept/{file_id}"


def count(session: Session, table: Any) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def test_labels_join_late_early_and_again(session: Session, feedback: FeedbackRepository) -> None:
    path = add(feedback, "a.0", "b.0")
    assert feedback.add_labels("m", {"a.0": 3, "c.0": 1}) == 1
    assert feedback.add_labels("m", {"a.0": 2.5}) == 1
    add(feedback, "c.0", version=2, at=200.0)
    assert [(row.id, row.version, row.label) for row in feedback.joined("m")] == [("c.0", 2, 1), ("a.0", 1, 2.5)]
    assert feedback.joined("m", version=1)[0].path == path
    assert [row.id for row in feedback.joined("m", since=150.0)] == ["c.0"]
    quality = feedback.quality("m", since=0.0)
    assert (quality[1].absolute, quality[2].absolute) == (1.5, 0.0)
    assert feedback.kept("m") == (2, 3, 200)
    with pytest.raises(NotFound):
        feedback.add_labels("other", {"a.0": 1})
    assert not feedback.add_file("other", new_file_id(), "kept/x", 1, [])


def test_what_is_kept_reaches_serving_and_the_audit(session: Session, feedback: FeedbackRepository) -> None:
    feedback.set_keep("m", KEEP, "tok_1")
    assert [version.keep for version in ServedVersionRepository(session).wanted()] == [KEEP]
    [entry] = AuditRepository(session).list(page_size=1)[0]
    assert (entry.action, entry.target, entry.detail) == ("model.keep", "m", KEEP)
    feedback.set_keep("m", None, None)
    assert [version.keep for version in ServedVersionRepository(session).wanted()] == [None]


def test_days_and_bytes_bound_what_is_kept(session: Session, feedback: FeedbackRepository) -> None:
    feedback.set_keep("m", KEEP, None)
    old, first, second, third = (add(feedback, f"{name}.0") for name in "oabc")
    for number, (path, age_s) in enumerate(((old, 3 * 86_400), (first, 300), (second, 200), (third, 100))):
        session.execute(update(KeptFile).where(KeptFile.path == path).values(at=now() - age_s))
        feedback.add_labels("m", {f"{'oabc'[number]}.0": 1})
    session.execute(update(Feedback).where(Feedback.prediction_id == "o.0").values(at=now() - 3 * 86_400))
    assert set(feedback.purge(30.0)) == {old, first}  # 3 · 100 bytes are over 250
    assert (count(session, KeptFile), count(session, KeptPrediction), count(session, Feedback)) == (2, 2, 3)
    assert feedback.known_files([old, second, "kept/stray"]) == {second}
    assert feedback.purge(30.0) == []
