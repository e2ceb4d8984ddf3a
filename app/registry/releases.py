"""Releases: how far a plan is, and what happened to it.

All that changes a label goes through `ModelRepository.set_label`, so that its revision tells whether somebody else has
set it since.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound, quote_name
from app.ids import new_id
from app.registry.audit import AuditRepository
from app.registry.db import now
from app.registry.models import WHOLE, Division, ModelRepository
from app.registry.pagination import page
from app.registry.release_tables import Release, ReleaseEvent
from app.registry.tables import Label
from app.releases.release_plan import ACTIVE, ReleasePlan, ReleaseState

LABEL_TAKEN = "The label was set by another request or taken by a new version; the release leaves it as it is."


@dataclass(frozen=True)
class Ending:
    """How a release ends: what the label points to then."""

    state: ReleaseState
    kind: str
    version: int


class ReleaseRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def create(self, model: str, label: str, version: int, plan: ReleasePlan, token_id: str | None) -> Release:
        """Begins a release with its first step.

        Raises:
            NotFound: no such model, label or version.
            Conflict: the version is not AVAILABLE, or serves already, or another release of the label runs.
        """
        models = ModelRepository(self.session)
        models.get(model)
        models.lock(model)
        base = models.label(model, label).version
        if self.active(model, label) is not None:
            raise Conflict(f"Another release of the label {quote_name(label)} runs; abort it, or wait for its end.")
        if version == base:
            raise Conflict(f"The label {quote_name(label)} points to version {version} already.")
        release_id = new_id("rel")
        row = models.set_label(
            model, label, base, token_id=token_id, division=_division(plan, 0, version),
            action="release.started", detail={"release": release_id, "step": 0},
        )  # fmt: skip
        release = Release(
            id=release_id, model=model, label=label, version=version, base=base, plan=plan.row(),
            state=ReleaseState.RUNNING, step=0, step_s=0.0, step_at=now(), label_revision=row.revision,
            reason=None, created_at=now(), created_by=token_id, ended_at=None,
        )  # fmt: skip
        self.session.add(release)
        self.session.flush()
        self._event(release_id, "started", 0, {"division": vars(_division(plan, 0, version))})
        self.session.refresh(release)
        return release

    def get(self, model: str, release_id: str) -> Release:
        """A release of a model.

        Raises:
            NotFound: the model has no such release.
        """
        row = self.session.get(Release, release_id, populate_existing=True)
        if row is None or row.model != model:
            raise NotFound(f"Model {quote_name(model)} has no such release.")
        return row

    def active(self, model: str, label: str) -> Release | None:
        """The release that runs or is paused."""
        query = select(Release).where(Release.model == model, Release.label == label, Release.state.in_(ACTIVE))
        return self.session.scalars(query).one_or_none()

    def all_active(self) -> builtins.list[Release]:
        return list(self.session.scalars(select(Release).where(Release.state.in_(ACTIVE)).order_by(Release.id)))

    def list(
        self, model: str, *, page_size: int = 50, after: str | None = None
    ) -> tuple[builtins.list[Release], str | None]:
        """A page of a model's releases, newest first, and the cursor of the next.

        Raises:
            InvalidInput: `after` is no cursor of this list.
        """
        query = select(Release).where(Release.model == model)
        return page(self.session, query, [Release.created_at, Release.id], page_size=page_size, after=after)

    def events(self, release_id: str) -> builtins.list[ReleaseEvent]:
        query = select(ReleaseEvent).where(ReleaseEvent.release_id == release_id)
        return list(self.session.scalars(query.order_by(ReleaseEvent.id)))

    def ran_s(self, release: Release) -> float:
        """For how long the present step has run, pauses left out."""
        if release.state != ReleaseState.RUNNING:
            return release.step_s
        moment = self.session.scalar(select(now())) or release.step_at
        return release.step_s + max(0.0, moment - release.step_at)

    def pause(self, model: str, release_id: str, token_id: str | None) -> Release:
        """Keeps the step as it is; its time stands still, its guards do not. Raises NotFound, Conflict."""
        release = self._locked(model, release_id)
        self._require(release, ReleaseState.RUNNING)
        release.step_s = self.ran_s(release)
        return self._turn(release, ReleaseState.PAUSED, "paused", token_id)

    def resume(self, model: str, release_id: str, token_id: str | None) -> Release:
        """Raises NotFound, Conflict."""
        release = self._locked(model, release_id)
        self._require(release, ReleaseState.PAUSED)
        return self._turn(release, ReleaseState.RUNNING, "resumed", token_id)

    def abort(self, model: str, release_id: str, token_id: str | None, reason: str) -> Release:
        """Ends it, and gives all requests to the version from before. Raises NotFound, Conflict."""
        release = self._locked(model, release_id)
        if release.state not in ACTIVE:
            raise Conflict(f"The release is {release.state}.")
        self._end(release, Ending(ReleaseState.ABORTED, "aborted", release.base), reason, {}, token_id)
        return release

    def advance(self, release: Release, reason: str, evidence: dict[str, Any]) -> bool:
        """The next step, or the end of the plan: the label points to the new version. False: it is not any more what
        was looked at."""
        fresh = self._unchanged(release)
        if fresh is None:
            return False
        plan = ReleasePlan.of(fresh.plan)
        step = fresh.step + 1
        if step == len(plan.steps):
            self._end(fresh, Ending(ReleaseState.DONE, "done", fresh.version), reason, evidence, None)
            return True
        event = self._event(fresh.id, "step", step, evidence)
        row = ModelRepository(self.session).set_label(
            fresh.model, fresh.label, fresh.base, division=_division(plan, step, fresh.version),
            action="release.step", detail={"release": fresh.id, "step": step, "evidence": event},
        )  # fmt: skip
        fresh.step, fresh.step_s, fresh.label_revision = step, 0.0, row.revision
        fresh.step_at = now()
        self.session.flush()
        return True

    def roll_back(self, release: Release, reason: str, evidence: dict[str, Any]) -> bool:
        """Gives all requests to the version from before. False: it is not any more what was looked at."""
        fresh = self._unchanged(release)
        if fresh is None:
            return False
        self._end(fresh, Ending(ReleaseState.ROLLED_BACK, "rolled_back", fresh.base), reason, evidence, None)
        return True

    def _unchanged(self, release: Release) -> Release | None:
        """The release, locked, unless another process or a person has changed it since it was read; one whose label was
        set by somebody else ends here."""
        fresh = self._locked(release.model, release.id)
        if fresh.state not in ACTIVE or fresh.step != release.step:
            return None
        return fresh if self.owns_label(fresh) else None

    def lose(self, release: Release) -> bool:
        """Ends a release whose label is not any more as it has set it. False: it is."""
        fresh = self._locked(release.model, release.id)
        if fresh.state not in ACTIVE or self.owns_label(fresh):
            return False
        self._end(fresh, Ending(ReleaseState.ABORTED, "aborted", fresh.base), LABEL_TAKEN, {}, None)
        return True

    def owns_label(self, release: Release) -> bool:
        """Whether the label is as the release has set it."""
        label = self.session.get(Label, (release.model, release.label), populate_existing=True)
        return label is not None and label.revision == release.label_revision

    def _end(
        self, release: Release, ending: Ending, reason: str, evidence: dict[str, Any], token_id: str | None
    ) -> None:
        event = self._event(release.id, ending.kind, release.step, {"reason": reason, **evidence})
        if self.owns_label(release):
            row = ModelRepository(self.session).set_label(
                release.model, release.label, ending.version, token_id=token_id, division=WHOLE,
                action=f"release.{ending.kind}",
                detail={"release": release.id, "step": release.step, "evidence": event, "reason": reason},
            )  # fmt: skip
            release.label_revision = row.revision
        release.state, release.reason = ending.state, reason
        release.ended_at = now()
        self.session.flush()
        self.session.refresh(release)

    def _turn(self, release: Release, state: ReleaseState, kind: str, token_id: str | None) -> Release:
        release.state = state
        release.step_at = now()
        self.session.flush()
        self._event(release.id, kind, release.step, {"token": token_id})
        AuditRepository(self.session).add(
            token_id, f"release.{kind}", f"{release.model}/{release.label}", {"release": release.id}
        )
        self.session.refresh(release)
        return release

    def _require(self, release: Release, state: ReleaseState) -> None:
        if release.state != state:
            raise Conflict(f"The release is {release.state}, not {state}.")

    def _locked(self, model: str, release_id: str) -> Release:
        ModelRepository(self.session).lock(model)
        return self.get(model, release_id)

    def _event(self, release_id: str, kind: str, step: int, detail: dict[str, Any]) -> int:
        values = {"release_id": release_id, "at": now(), "kind": kind, "step": step, "detail": detail}
        return self.session.execute(insert(ReleaseEvent).values(**values).returning(ReleaseEvent.id)).scalar_one()


def _division(plan: ReleasePlan, step: int, version: int) -> Division:
    if plan.steps[step].shadow:
        return Division(shadow=version)
    return Division(version, plan.steps[step].per_mille, plan.split_by)
