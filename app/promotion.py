"""Whether the version that a job promoted answers already.

A training job ends in the registry when its version is stored; loading and warming it up takes the API some tenths of a
second more. Who reads SUCCEEDED and then asks the model wants that version's answer: so until it answers here, and for
`HOLD_S` at most, the job is shown as it was before, RUNNING, and its events wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.jobs.state import JobState, VersionState
from app.registry.db import now
from app.registry.tables import Job, Label, Version
from app.serving.service import ServingService

HOLD_S = 30.0


@dataclass(frozen=True)
class Outcome:
    """What became of the version that a job made.

    Attributes:
        state: of the version, now.
        held: whether its job is not yet to be shown as SUCCEEDED.
    """

    state: str
    held: bool


class Promotions:
    """Promotions in progress: versions whose label this process does not answer with yet.

    Args:
        serving: of this process; None where predictions are answered elsewhere, so that nothing is held.
    """

    def __init__(self, serving: ServingService | None = None) -> None:
        self.serving = serving

    def outcomes(self, session: Session, jobs: Iterable[Job]) -> dict[str, Outcome]:
        """By job, for those that made a version."""
        made = {job.id: job for job in jobs if job.state == JobState.SUCCEEDED and job.result.get("version")}
        if not made:
            return {}
        found = {}
        at = session.scalar(select(now())) or 0.0
        for version in session.scalars(select(Version).where(Version.job_id.in_(made))):
            job = made[version.job_id]
            recent = job.finished_at is not None and at - job.finished_at < HOLD_S
            found[job.id] = Outcome(version.state, recent and self._on_its_way(session, version))
        return found

    def held(self, session: Session, job_id: str) -> bool:
        """Whether a job is not yet to be shown as SUCCEEDED."""
        job = session.get(Job, job_id)
        outcome = None if job is None else self.outcomes(session, [job]).get(job_id)
        return outcome is not None and outcome.held

    def _on_its_way(self, session: Session, version: Version) -> bool:
        if self.serving is None or version.promote_label is None:
            return False
        if version.state == VersionState.STAGED:
            return True
        if version.state != VersionState.AVAILABLE:
            return False
        try:
            answering = self.serving.models.look_up(version.model, None, version.promote_label).wanted.number
        except NotFound:
            answering = 0
        if answering >= version.number:
            return False
        # Somebody may have set the label to an older version meanwhile, which is no delay.
        label = session.get(Label, (version.model, version.promote_label))
        return label is not None and label.version == version.number
