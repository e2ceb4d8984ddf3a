"""Checkpoints on record: what a job goes on from, and what others are made of."""

from __future__ import annotations

import builtins
from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.ids import new_id
from app.jobs.state import ENDED
from app.registry.db import now
from app.registry.events import record
from app.registry.jobs.transitions import fence
from app.registry.tables import Checkpoint, Evaluation, Export, Job, JobLink


class CheckpointRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, job_id: str, attempt: int, step: int, path: str, bytes: int) -> Checkpoint | None:
        """Commits a checkpoint whose files are complete. A job has one per step: where there is one already (an
        attempt that saved the step it started from), that one stays and is returned, with its own path. None: fenced.

        Args:
            path: key of the files' prefix in the artifact store.
            bytes: of all its files.
        """
        if fence(self.session, job_id, attempt) is None:
            return None
        known = self.session.scalar(select(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.step == step))
        if known is not None:
            return known
        row = Checkpoint(
            id=new_id("ckpt"), job_id=job_id, attempt=attempt, step=step, path=path, bytes=bytes, created_at=now()
        )
        self.session.add(row)
        self.session.flush()
        record(self.session, job_id, "checkpoint", {"id": row.id, "step": step, "attempt": attempt, "bytes": bytes})
        return row

    def get(self, checkpoint_id: str) -> Checkpoint:
        """A checkpoint by its id.

        Raises:
            NotFound: no such checkpoint (any more).
        """
        row = self.session.get(Checkpoint, checkpoint_id)
        if row is None:
            raise NotFound("There is no checkpoint of that id.")
        return row

    def at_step(self, job_id: str, step: int) -> Checkpoint:
        """A job's checkpoint by its global step.

        Raises:
            NotFound: the job has no checkpoint of that step (any more).
        """
        row = self.session.scalar(select(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.step == step))
        if row is None:
            raise NotFound(f"The job has no checkpoint of step {step}.")
        return row

    def latest(self, job_id: str) -> Checkpoint | None:
        """The checkpoint of the highest step."""
        query = select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.step.desc())
        return self.session.scalar(query.limit(1))

    def list(self, job_id: str) -> builtins.list[Checkpoint]:
        """All of a job, lowest step first."""
        query = select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.step)
        return list(self.session.scalars(query))

    def surplus(
        self,
        job_id: str,
        keep: int,
        *,
        best_steps: Collection[int] = (),
        every_s: float | None = None,
    ) -> builtins.list[Checkpoint]:
        """What may be removed: all but the `keep` latest, one for each `every_s` seconds, those of `best_steps`, and
        those that an export, another job's evaluation or a job that has not ended is made of. First `remove` the
        rows and commit, then the files: a row never points to nothing."""
        rows = self.list(job_id)
        old = rows[: -max(keep, 1)]
        if not old:
            return []
        needed = set(best_steps) | self._made_of(job_id) | self._spread(rows, every_s)
        named = self._named([job_id, *(row.id for row in old)], job_id)
        if job_id in named:
            return []
        return [row for row in old if row.step not in needed and row.id not in named]

    def remove(self, ids: Collection[str]) -> None:
        """Removes rows; the files are the caller's, after the commit."""
        if ids:
            self.session.execute(
                delete(Checkpoint).where(Checkpoint.id.in_(ids)), execution_options={"synchronize_session": False}
            )

    def _made_of(self, job_id: str) -> set[int]:
        """Steps of the job that exports, or evaluations by other jobs, stand on."""
        exported = select(Export.step).where(Export.train_job_id == job_id)
        measured = select(Evaluation.step).where(Evaluation.train_job_id == job_id, Evaluation.job_id != job_id)
        return set(self.session.scalars(exported.union(measured)))

    def _named(self, targets: builtins.list[str], job_id: str) -> set[str]:
        """Which of the ids another job that has not ended names in its specification."""
        query = (
            select(JobLink.target_id)
            .join(Job, Job.id == JobLink.job_id)
            .where(JobLink.target_id.in_(targets), JobLink.job_id != job_id, Job.state.not_in(ENDED))
        )
        return set(self.session.scalars(query))

    @staticmethod
    def _spread(rows: builtins.list[Checkpoint], every_s: float | None) -> set[int]:
        """Steps of the first checkpoint, and of each that is `every_s` seconds younger than the one kept before."""
        if every_s is None:
            return set()
        kept: set[int] = set()
        last = float("-inf")
        for row in rows:
            if row.created_at - last >= every_s:
                kept.add(row.step)
                last = row.created_at
        return kept
