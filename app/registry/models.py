"""Models, their versions, and the labels that say which version serves.

A label moves in two ways: by `set_label` (a person promotes or rolls back) and by `version_loaded` (a new version was
loaded and warmed up, and takes the label it was exported for). It only ever points to an AVAILABLE version. `floor`
keeps the two apart: a version takes a label only if it was made after the label was last set.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound, PreconditionFailed, quote_name
from app.ids import new_id
from app.jobs.state import VersionState
from app.registry.audit import AuditRepository
from app.registry.db import now, upsert
from app.registry.pagination import page
from app.registry.tables import Label, Model, Version


@dataclass(frozen=True)
class Division:
    """How a label's requests are divided beside the version that it points to.

    Attributes:
        canary: the version that answers `per_mille` of 1,000 requests.
        split_by: the header by whose value a caller keeps to one version; None: `x-request-key`.
        shadow: the version that is asked a copy of each request; nobody gets its answers.
    """

    canary: int | None = None
    per_mille: int | None = None
    split_by: str | None = None
    shadow: int | None = None


WHOLE = Division()
"""All requests go to one version."""


class ModelRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def create_version(
        self,
        model: str,
        export_id: str,
        job_id: str,
        lineage: dict[str, Any],
        state: str,
        promote_label: str | None,
        reason: str | None = None,
    ) -> Version:
        """The next version of a model (made if new). An export has one version: again gives the same.

        Args:
            state: STAGED (to be loaded), STORED (no promotion was asked for) or REFUSED by the gate, with a `reason`.
            promote_label: the label that it takes when it is loaded.
        """
        self.session.execute(
            upsert(self.session, Model).values(name=model, created_at=now(), newest=0).on_conflict_do_nothing()
        )
        self.lock(model)
        known = self.session.scalar(select(Version).where(Version.export_id == export_id))
        if known is not None:
            return known
        version = Version(
            model=model,
            number=self._newest(model) + 1,
            export_id=export_id,
            job_id=job_id,
            lineage_id=new_id("ver"),
            state=state,
            reason=reason,
            promote_label=promote_label,
            lineage=lineage,
            created_at=now(),
        )
        self.session.add(version)
        given = update(Model).where(Model.name == model).values(newest=version.number)
        self.session.execute(given, execution_options={"synchronize_session": False})
        self.session.flush()
        return version

    def get(self, model: str) -> Model:
        """A model by its name.

        Raises:
            NotFound: no such model.
        """
        row = self.session.get(Model, model)
        if row is None:
            raise NotFound(f"There is no model {quote_name(model)}.")
        return row

    def list(self, *, page_size: int = 50, after: str | None = None) -> tuple[builtins.list[Model], str | None]:
        """A page by name, and the cursor of the next.

        Raises:
            InvalidInput: `after` is no cursor of this list.
        """
        return page(self.session, select(Model), [Model.name], page_size=page_size, after=after, newest_first=False)

    def version(self, model: str, number: int) -> Version:
        """A model's version, read from the database even if the session holds it.

        Raises:
            NotFound: no such version.
        """
        row = self.session.get(Version, (model, number), populate_existing=True)
        if row is None:
            raise NotFound(f"Model {quote_name(model)} has no version {number}.")
        return row

    def versions(
        self, model: str, *, page_size: int = 50, after: str | None = None
    ) -> tuple[builtins.list[Version], str | None]:
        """A page of a model's versions, newest first, and the cursor of the next.

        Raises:
            InvalidInput: `after` is no cursor of this list.
        """
        query = select(Version).where(Version.model == model)
        return page(self.session, query, [Version.number], page_size=page_size, after=after)

    def versions_of_job(self, job_id: str) -> builtins.list[Version]:
        """What a job published."""
        return list(self.session.scalars(select(Version).where(Version.job_id == job_id).order_by(Version.number)))

    def staged(self) -> builtins.list[Version]:
        """Versions that wait to be loaded, oldest first."""
        query = select(Version).where(Version.state == VersionState.STAGED)
        return list(self.session.scalars(query.order_by(Version.created_at, Version.model, Version.number)))

    def labels(self, model: str) -> builtins.list[Label]:
        return list(self.session.scalars(select(Label).where(Label.model == model).order_by(Label.label)))

    def labels_by_model(self, models: builtins.list[str]) -> dict[str, dict[str, int]]:
        """Model → label → version, of many models with one query."""
        query = select(Label.model, Label.label, Label.version).where(Label.model.in_(models))
        found: dict[str, dict[str, int]] = {}
        for model, label, version in self.session.execute(query.order_by(Label.model, Label.label)):
            found.setdefault(model, {})[label] = version
        return found

    def versions_by_model(self, models: builtins.list[str], *, most: int) -> dict[str, builtins.list[Version]]:
        """Model → its newest versions, at most so many of each, of many models with one query."""
        place = func.row_number().over(partition_by=Version.model, order_by=Version.number.desc()).label("place")
        ranked = select(Version.model, Version.number, place).where(Version.model.in_(models)).subquery()
        query = select(Version).join(ranked, (Version.model == ranked.c.model) & (Version.number == ranked.c.number))
        found: dict[str, builtins.list[Version]] = {}
        for version in self.session.scalars(query.where(ranked.c.place <= most).order_by(Version.number.desc())):
            found.setdefault(version.model, []).append(version)
        return found

    def label(self, model: str, label: str) -> Label:
        """A model's label.

        Raises:
            NotFound: the model has no such label.
        """
        row = self._label(model, label)
        if row is None:
            raise NotFound(f"Model {quote_name(model)} has no label {quote_name(label)}.")
        return row

    def set_label(
        self,
        model: str,
        label: str,
        version: int,
        expected_revision: int | None = None,
        token_id: str | None = None,
        *,
        division: Division = WHOLE,
        action: str = "label.set",
        detail: dict[str, Any] | None = None,
    ) -> Label:
        """Points a label (made if new) to a version that was loaded and warmed up; writes the audit row.

        Args:
            division: takes the place of the one that the label has.
            action: as the audit names it, with `detail` beside what was set.
            expected_revision: the revision that the caller saw (If-Match); 0: there must be no such label yet.

        Raises:
            NotFound: no such version.
            Conflict: a version is not AVAILABLE (the message says what it is), or stands against itself.
            PreconditionFailed: somebody else changed the label first.
        """
        self.lock(model)
        row = self._label(model, label)
        revision = row.revision if row else 0
        if expected_revision is not None and expected_revision != revision:
            raise PreconditionFailed(f"The label was changed by another request: its revision is {revision} now.")
        others = {division.canary, division.shadow} - {None}
        if version in others:
            raise Conflict(f"Version {version} is the one that the label points to; name another version.")
        if division.canary is not None and division.canary == division.shadow:
            raise Conflict("A canary answers requests; it can't be asked copies of them too.")
        for number in sorted({version, *(number for number in others if number is not None)}):
            self._check_available(model, number)
        row = self._point(model, label, row, version, division=division)
        told = {"version": version, "previous": row.previous, "revision": row.revision}
        told |= {name: value for name, value in vars(division).items() if value is not None}
        AuditRepository(self.session).add(token_id, action, f"{model}/{label}", told | (detail or {}))
        return row

    def _check_available(self, model: str, number: int) -> None:
        """Raises NotFound, Conflict."""
        target = self.version(model, number)
        if target.state != VersionState.AVAILABLE:
            why = f": {target.reason}" if target.reason else "."
            raise Conflict(f"Version {number} is {target.state}, a label can only be set to an AVAILABLE one{why}")

    def stage(self, model: str, number: int, promote_label: str | None = None) -> Version:
        """Asks for a version to be loaded (again), and to take a label then.

        Raises:
            NotFound: no such version.
            Conflict: it is AVAILABLE or on its way already, or was refused.
        """
        row = self._change(
            model, number, {VersionState.STORED, VersionState.FAILED}, VersionState.STAGED, None, promote_label
        )
        if row is None:
            raise Conflict(f"Version {number} is {self.version(model, number).state}: only a STORED or FAILED one can.")
        return row

    def version_loaded(self, model: str, number: int) -> bool:
        """A version was loaded and warmed up: it is AVAILABLE from now, and takes the label it was exported for unless
        that was set, or taken by a newer version, since it was made. False: it was AVAILABLE (or refused) before.

        Raises:
            NotFound: no such version.
        """
        self.lock(model)
        waiting = {VersionState.STAGED, VersionState.STORED}
        version = self._change(model, number, waiting, VersionState.AVAILABLE)
        if version is None:
            self.version(model, number)
            return False
        label = version.promote_label
        if label is not None:
            row = self._label(model, label)
            if row is None or number > row.floor:
                row = self._point(model, label, row, number, floor=number)
                detail = {"version": number, "previous": row.previous, "revision": row.revision}
                AuditRepository(self.session).add(None, "label.promoted", f"{model}/{label}", detail)
        return True

    def version_failed(self, model: str, number: int, reason: str) -> bool:
        """A version could not be loaded or warmed up. One that was AVAILABLE before stays so (labels may point to it):
        False."""
        waiting = {VersionState.STAGED, VersionState.STORED}
        return self._change(model, number, waiting, VersionState.FAILED, reason) is not None

    def _change(
        self,
        model: str,
        number: int,
        sources: set[VersionState],
        target: VersionState,
        reason: str | None = None,
        promote_label: str | None = None,
    ) -> Version | None:
        """One conditional UPDATE; None when the version is in none of `sources`."""
        values: dict[str, Any] = {"state": target, "reason": reason}
        if promote_label is not None:
            values["promote_label"] = promote_label
        statement = update(Version).where(
            Version.model == model, Version.number == number, Version.state.in_(sorted(sources))
        )
        return self.session.scalars(
            statement.values(**values).returning(Version),
            execution_options={"synchronize_session": False, "populate_existing": True},
        ).one_or_none()

    def _point(
        self,
        model: str,
        label: str,
        row: Label | None,
        version: int,
        floor: int | None = None,
        *,
        division: Division = WHOLE,
    ) -> Label:
        """Moves a label; the caller holds the model's lock. `floor` None: all versions of today are behind it."""
        behind = self._newest(model) if floor is None else floor
        if row is None:
            row = Label(model=model, label=label, previous=None, revision=0)
            self.session.add(row)
        elif row.version != version:
            row.previous = row.version
        row.version = version
        row.floor = behind
        row.canary, row.per_mille, row.split_by = division.canary, division.per_mille, division.split_by
        row.shadow = division.shadow
        row.revision += 1
        row.updated_at = now()
        self.session.flush()
        return row

    def _label(self, model: str, label: str) -> Label | None:
        return self.session.get(Label, (model, label), populate_existing=True)

    def _newest(self, model: str) -> int:
        """The highest number that a version of it has or had."""
        return self.session.scalar(select(Model.newest).where(Model.name == model)) or 0

    def lock(self, model: str) -> None:
        """Lets one at a time number versions and move labels of a model (SQLite has one writer anyway)."""
        self.session.execute(select(Model.name).where(Model.name == model).with_for_update(key_share=True))
