"""Deletions: the rows that one removes, and the rows that prevent it. Rows go at once; the reconciler removes the files
that no row needs any more, once they are older than its grace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound, PreconditionFailed
from app.jobs.state import ENDED
from app.registry.datasets import DatasetRepository
from app.registry.exports import ExportRepository
from app.registry.jobs.transitions import find
from app.registry.models import ModelRepository
from app.registry.release_tables import Release
from app.registry.tables import (
    Attempt,
    Checkpoint,
    Dataset,
    Evaluation,
    Export,
    Job,
    JobLink,
    Label,
    Model,
    Outbox,
    Version,
)

_MOST = 100
_TOLD = 5
_UNSYNCHRONIZED = {"synchronize_session": False}


@dataclass(frozen=True)
class Need:
    """A thing that needs what is to be deleted.

    Attributes:
        kind: job, version, label or release.
        id: of the job or release; `MODEL/VERSION` of a version; `MODEL/LABEL` of a label.
        why: what it is, in words, and how the way is cleared.
    """

    kind: str
    id: str
    why: str


@dataclass(frozen=True)
class Deletion:
    """A deletion that may be made, in the transaction in which it was planned.

    Attributes:
        kind, id: of what is to be deleted.
        removes: how many rows of which kind go with it, itself among them.
        bytes: of the files that are removed afterwards, as far as rows say.
        needed_by: at most 100 things that need it; while there are any, it stays.
    """

    kind: str
    id: str
    removes: dict[str, int]
    bytes: int
    needed_by: list[Need]
    _work: Callable[[], None] = field(repr=False)

    def apply(self) -> None:
        """Removes the rows.

        Raises:
            Conflict: something needs it; the message names the first such things.
        """
        if self.needed_by:
            told = " ".join(need.why for need in self.needed_by[:_TOLD])
            more = len(self.needed_by) - _TOLD
            raise Conflict(f"{told} And {more} more need it." if more > 0 else told)
        self._work()


class DeletionRepository:
    """Plans of deletions. Each method locks what it is about, so that the plan holds until the transaction ends.

    Raises:
        NotFound: there is no such thing.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def dataset(self, dataset_id: str) -> Deletion:
        """Needed by jobs that name it and have not ended, and by versions that were made from it."""
        row = self.session.scalar(select(Dataset).where(Dataset.id == dataset_id).with_for_update())
        if row is None:
            raise NotFound("There is no data set of that id.")
        versions = DatasetRepository(self.session).versions_of(dataset_id, limit=_MOST)
        needs = self._waiting_for(dataset_id) + [_version_need(row, "this data set") for row in versions]

        def work() -> None:
            self.session.delete(row)
            self.session.flush()

        return Deletion("dataset", dataset_id, {"datasets": 1}, row.bytes, needs[:_MOST], work)

    def job(self, job_id: str) -> Deletion:
        """Needed by itself until it has ended, by jobs that use its checkpoints and have not ended, and by versions
        that were made from these."""
        job = find(self.session, job_id, lock=True)
        needs = []
        if job.state not in ENDED:
            needs.append(Need("job", job_id, f"The job is {job.state}: cancel it, or wait for its end."))
        needs += self._waiting_for(job_id)
        made = or_(Export.job_id == job_id, Export.train_job_id == job_id)
        versions = self.session.scalars(
            select(Version)
            .join(Export, Export.id == Version.export_id)
            .where(made)
            .order_by(Version.model, Version.number)
            .limit(_MOST)
        )
        needs += [_version_need(version, "this job") for version in versions]
        exports = list(self.session.scalars(select(Export).where(made)))
        checkpoint_bytes = select(func.sum(Checkpoint.bytes)).where(Checkpoint.job_id == job_id)
        size = (self.session.scalar(checkpoint_bytes) or 0) + sum(export.bytes for export in exports)
        own = ((Attempt, "attempts"), (Checkpoint, "checkpoints"), (Evaluation, "evaluations"))
        counts = {name: self._count(select(table).where(table.job_id == job_id)) for table, name in own}

        def work() -> None:
            self._delete_exports([export.id for export in exports])
            self.session.execute(delete(Outbox).where(Outbox.job_id == job_id), execution_options=_UNSYNCHRONIZED)
            self.session.execute(delete(Job).where(Job.id == job_id), execution_options=_UNSYNCHRONIZED)

        removes = {"jobs": 1, **counts, "exports": len(exports)}
        return Deletion("job", job_id, _positive(removes), size, needs[:_MOST], work)

    def export(self, export_id: str) -> Deletion:
        """Needed by the version that was made from it."""
        export = ExportRepository(self.session).get(export_id)
        versions = self.session.scalars(select(Version).where(Version.export_id == export_id))
        needs = [_version_need(version, "this export") for version in versions]
        return Deletion(
            "export", export_id, {"exports": 1}, export.bytes, needs, lambda: self._delete_exports([export_id])
        )

    def version(self, model: str, number: int) -> Deletion:
        """Needed by the labels that point or divide requests to it, and by releases that have not ended. Its export
        goes with it; its number is not given again."""
        models = ModelRepository(self.session)
        models.lock(model)
        version = models.version(model, number)
        needs = [_label_need(row, number) for row in models.labels(model) if number in _versions_of(row)]
        needs += [_release_need(row) for row in self._releases(model) if number in {row.version, row.base}]
        size = ExportRepository(self.session).get(version.export_id).bytes

        def work() -> None:
            before = update(Label).where(Label.model == model, Label.previous == number).values(previous=None)
            self.session.execute(before, execution_options=_UNSYNCHRONIZED)
            self._delete_versions([version])

        return Deletion("version", f"{model}/{number}", {"versions": 1, "exports": 1}, size, needs, work)

    def label(self, model: str, label: str, expected_revision: int | None = None) -> Deletion:
        """Needed by a release that has not ended. The version that it points to stays.

        Raises:
            PreconditionFailed: `expected_revision` is given and is not the label's.
        """
        models = ModelRepository(self.session)
        models.lock(model)
        row = models.label(model, label)
        if expected_revision is not None and expected_revision != row.revision:
            raise PreconditionFailed(f"The label was changed by another request: its revision is {row.revision} now.")

        def work() -> None:
            self.session.delete(row)
            self.session.flush()

        needs = [_release_need(release) for release in self._releases(model) if release.label == label]
        return Deletion("label", f"{model}/{label}", {"labels": 1}, 0, needs, work)

    def model(self, name: str) -> Deletion:
        """Needed by its labels, and by its jobs that have not ended. Its versions and their exports go with it; jobs,
        checkpoints and evaluations stay."""
        models = ModelRepository(self.session)
        models.get(name)
        models.lock(name)
        needs = [_label_need(row, row.version) for row in models.labels(name)]
        jobs = select(Job.id, Job.state).where(Job.model == name, Job.state.not_in(ENDED))
        found = self.session.execute(jobs.order_by(Job.created_at, Job.id).limit(_MOST))
        needs += [_job_need(row.id, row.state, "is of this model") for row in found]
        versions = list(self.session.scalars(select(Version).where(Version.model == name)))
        exports = [version.export_id for version in versions]
        size = self.session.scalar(select(func.sum(Export.bytes)).where(Export.id.in_(exports))) or 0

        def work() -> None:
            self._delete_versions(versions)
            self.session.execute(delete(Model).where(Model.name == name), execution_options=_UNSYNCHRONIZED)

        removes = _positive({"models": 1, "versions": len(versions), "exports": len(exports)})
        return Deletion("model", name, removes, size, needs[:_MOST], work)

    def _releases(self, model: str) -> list[Release]:
        """Those that have not ended."""
        query = select(Release).where(Release.model == model, Release.state.in_(("RUNNING", "PAUSED")))
        return list(self.session.scalars(query.order_by(Release.created_at, Release.id)))

    def _waiting_for(self, target_id: str) -> list[Need]:
        """Jobs that name it and have not ended, the oldest first."""
        query = (
            select(Job.id, Job.state)
            .join(JobLink, JobLink.job_id == Job.id)
            .where(JobLink.target_id == target_id, Job.state.not_in(ENDED))
            .order_by(Job.created_at, Job.id)
            .limit(_MOST)
        )
        return [_job_need(row.id, row.state, "needs it") for row in self.session.execute(query)]

    def _delete_versions(self, versions: Sequence[Version]) -> None:
        exports = [version.export_id for version in versions]
        for version in versions:
            self.session.delete(version)
        self.session.flush()
        self._delete_exports(exports)

    def _delete_exports(self, ids: Sequence[str]) -> None:
        self.session.execute(delete(Export).where(Export.id.in_(ids)), execution_options=_UNSYNCHRONIZED)

    def _count(self, query: Select[Any]) -> int:
        return self.session.scalar(select(func.count()).select_from(query.subquery())) or 0


def _job_need(job_id: str, state: str, how: str) -> Need:
    return Need("job", job_id, f"Job {job_id} ({state}) {how}: wait for its end, or cancel it.")


def _version_need(row: Version, source: str) -> Need:
    place = f"{row.model}/{row.number}"
    return Need("version", place, f"Version {row.number} of model {row.model} was made from {source}: delete it first.")


def _versions_of(row: Label) -> set[int | None]:
    return {row.version, row.canary, row.shadow}


def _label_need(row: Label, number: int) -> Need:
    how = "points" if row.version == number else "sends requests"
    why = f"Label {row.label} of model {row.model} {how} to version {number}: delete or move it first."
    return Need("label", f"{row.model}/{row.label}", why)


def _release_need(row: Release) -> Need:
    why = f"Release {row.id} of version {row.version} behind label {row.label} has not ended: end it first."
    return Need("release", row.id, why)


def _positive(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
