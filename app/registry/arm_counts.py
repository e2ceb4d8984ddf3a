"""Counts of the versions behind divided labels, as the API processes made them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, tuple_
from sqlalchemy.orm import Session

from app.registry.db import now
from app.registry.release_tables import ArmCount, Release
from app.registry.tables import Model
from app.releases.counts import Counts
from app.releases.release_plan import ACTIVE

_FOLD_ROWS = 20
KEEP_S = 86_400.0
"""Counts of a label that no release works on are kept so long."""


@dataclass(frozen=True)
class Counted:
    """What one process counted of one arm since it last wrote."""

    model: str
    label: str
    revision: int
    version: int
    counts: Counts


class ArmCountRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, counted: Iterable[Counted]) -> None:
        """Rows of models that were removed meanwhile are left out."""
        rows = list(counted)
        names = set(self.session.scalars(select(Model.name).where(Model.name.in_({row.model for row in rows}))))
        values = [
            {"model": row.model, "label": row.label, "revision": row.revision, "version": row.version,
             "at": now(), "counts": row.counts.row()}
            for row in rows if row.model in names
        ]  # fmt: skip
        for value in values:
            self.session.execute(insert(ArmCount).values(**value))

    def sums(self, model: str, label: str, revision: int, *, last_s: float | None = None) -> dict[int, Counts]:
        """Version → counts since the label got that revision, or of the last `last_s` seconds of that."""
        query = select(ArmCount.version, ArmCount.counts).where(
            ArmCount.model == model, ArmCount.label == label, ArmCount.revision == revision
        )
        if last_s is not None:
            query = query.where(ArmCount.at > now() - last_s)
        found: dict[int, Counts] = defaultdict(Counts)
        for version, counts in self.session.execute(query):
            found[version].merge(Counts.of(counts))
        return found

    def fold(self, older_than_s: float) -> None:
        """Makes one row of many old ones of an arm: a step of a day has as many rows as a window then."""
        key = (ArmCount.model, ArmCount.label, ArmCount.revision, ArmCount.version)
        old = ArmCount.at < now() - older_than_s
        many = select(*key).where(old).group_by(*key).having(func.count() >= _FOLD_ROWS)
        for model, label, revision, version in self.session.execute(many).all():
            rows = self.session.execute(
                select(ArmCount.id, ArmCount.at, ArmCount.counts).where(
                    old, tuple_(*key) == (model, label, revision, version)
                )
            ).all()
            sum_of_all = Counts()
            for row in rows:
                sum_of_all.merge(Counts.of(row.counts))
            self.session.execute(
                delete(ArmCount).where(ArmCount.id.in_([row.id for row in rows])),
                execution_options={"synchronize_session": False},
            )
            at = max(row.at for row in rows)
            self.session.execute(
                insert(ArmCount).values(
                    model=model, label=label, revision=revision, version=version, at=at, counts=sum_of_all.row()
                )
            )

    def purge(self) -> None:
        """Removes what is old and of no release that goes on."""
        busy = select(Release.model, Release.label).where(Release.state.in_(ACTIVE))
        self.session.execute(
            delete(ArmCount).where(ArmCount.at < now() - KEEP_S, tuple_(ArmCount.model, ArmCount.label).not_in(busy)),
            execution_options={"synchronize_session": False},
        )
