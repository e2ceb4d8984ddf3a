"""Kept predictions, the labels that came back for them, and what that says of a model's versions."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from app.ids import new_id
from app.registry.audit import AuditRepository
from app.registry.db import now, upsert
from app.registry.models import ModelRepository
from app.registry.release_tables import Feedback, KeptFile, KeptPrediction
from app.registry.tables import Model
from app.releases.quality import Quality

_AT_ONCE = 500
MOST_JOINED = 200_000
"""Labelled predictions that one question looks at; the newest count."""


@dataclass(frozen=True)
class Joined:
    """A kept prediction with its label; `path` is its file's key."""

    id: str
    version: int
    at: float
    predicted: dict[str, Any]
    label: Any
    path: str


class FeedbackRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def set_keep(self, model: str, keep: dict[str, Any] | None, token_id: str | None) -> None:
        """What of a model's requests is kept from now on; None: nothing. Raises NotFound."""
        ModelRepository(self.session).get(model).keep = keep
        AuditRepository(self.session).add(token_id, "model.keep", model, keep or {})

    def add_file(self, model: str, file_id: str, path: str, size: int, rows: Sequence[Mapping[str, Any]]) -> bool:
        """A file that was written, with `id`, `version`, `at` and `predicted` of its rows. False: the model is gone."""
        if self.session.get(Model, model) is None:
            return False
        values = {"id": file_id, "model": model, "path": path, "rows": len(rows), "bytes": size, "at": now()}
        self.session.execute(insert(KeptFile).values(**values))
        self.session.execute(insert(KeptPrediction), [{**row, "file_id": file_id, "model": model} for row in rows])
        return True

    def add_labels(self, model: str, labels: Mapping[str, Any]) -> int:
        """Prediction → label; a later label takes the place of an earlier one. How many of the predictions are kept.

        Raises NotFound: no such model.
        """
        ModelRepository(self.session).get(model)
        for prediction_id in sorted(labels):  # in one order, so that two requests never wait for each other
            statement = upsert(self.session, Feedback).values(
                model=model, prediction_id=prediction_id, label=labels[prediction_id], at=now()
            )
            self.session.execute(
                statement.on_conflict_do_update(
                    index_elements=["model", "prediction_id"],
                    set_={"label": statement.excluded.label, "at": statement.excluded.at},
                )
            )
        query = select(func.count()).select_from(KeptPrediction)
        found = query.where(KeptPrediction.id.in_(list(labels)), KeptPrediction.model == model)
        return self.session.scalar(found) or 0

    def joined(self, model: str, *, since: float = 0.0, version: int | None = None) -> builtins.list[Joined]:
        """Predictions with a label, made at or after a moment, newest first; at most `MOST_JOINED`."""
        query = (
            select(
                KeptPrediction.id, KeptPrediction.version, KeptPrediction.at, KeptPrediction.predicted,
                Feedback.label, KeptFile.path,
            )
            .join(Feedback, (Feedback.prediction_id == KeptPrediction.id) & (Feedback.model == KeptPrediction.model))
            .join(KeptFile, KeptFile.id == KeptPrediction.file_id)
            .where(KeptPrediction.model == model, KeptPrediction.at >= since)
        )  # fmt: skip
        if version is not None:
            query = query.where(KeptPrediction.version == version)
        query = query.order_by(KeptPrediction.at.desc(), KeptPrediction.id).limit(MOST_JOINED)
        return [Joined(*row) for row in self.session.execute(query)]

    def quality(self, model: str, *, since: float) -> dict[int, Quality]:
        """Version → quality of its predictions since a moment."""
        found: dict[int, Quality] = {}
        for row in self.joined(model, since=since):
            found.setdefault(row.version, Quality()).add(row.predicted, row.label)
        return found

    def kept(self, model: str) -> tuple[int, int, int]:
        """Files, rows and bytes that are kept."""
        sums = select(
            func.count(), func.coalesce(func.sum(KeptFile.rows), 0), func.coalesce(func.sum(KeptFile.bytes), 0)
        )
        files, rows, size = self.session.execute(sums.where(KeptFile.model == model)).one()
        return int(files), int(rows), int(size)

    def purge(self, default_days: float) -> builtins.list[str]:
        """Forgets what is over its days or beyond its bytes, and labels as old; the keys of files to be removed.

        Args:
            default_days: of labels of models whose requests are not kept any more.
        """
        doomed: builtins.list[KeptFile] = []
        for model in self.session.scalars(select(Model)):
            keep = model.keep or {}
            limit_s = keep.get("days", default_days) * 86_400
            left = keep.get("bytes")
            moment = self.session.scalar(select(now())) or 0.0
            files = select(KeptFile).where(KeptFile.model == model.name).order_by(KeptFile.at.desc(), KeptFile.id)
            for file in self.session.scalars(files):
                left = None if left is None else left - file.bytes
                if moment - file.at > limit_s or (left is not None and left < 0):
                    doomed.append(file)
            self.session.execute(
                delete(Feedback).where(Feedback.model == model.name, Feedback.at < now() - limit_s),
                execution_options={"synchronize_session": False},
            )
        keys = [file.path for file in doomed]
        for start in range(0, len(doomed), _AT_ONCE):
            some = [file.id for file in doomed[start : start + _AT_ONCE]]
            for table, column in ((KeptPrediction, KeptPrediction.file_id), (KeptFile, KeptFile.id)):
                self.session.execute(
                    delete(table).where(column.in_(some)), execution_options={"synchronize_session": False}
                )
        return keys

    def known_files(self, keys: Iterable[str]) -> set[str]:
        """Those of some keys that a row points to."""
        wanted = list(keys)
        found: set[str] = set()
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            found |= set(self.session.scalars(select(KeptFile.path).where(KeptFile.path.in_(some))))
        return found


def new_file_id() -> str:
    return new_id("kept")
