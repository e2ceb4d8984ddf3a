"""Filters of the list of jobs."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, select

from app.jobs.state import JobState
from app.registry.tables import Job, JobLink, JobTag


@dataclass(frozen=True)
class JobFilter:
    """Conditions of a list of jobs; all of them hold.

    Attributes:
        state: one that the API shows, CANCELLING among them.
        dataset: id of a data set that the job's specification names, also as the data of a model's training.
        text: part of the display name, model or estimator, or the beginning of the id; upper and lower case are equal.
        since, before: bounds of the time of creation, seconds since 1970; `before` is not included.
    """

    state: str | None = None
    type: str | None = None
    model: str | None = None
    estimator: str | None = None
    dataset: str | None = None
    tag: str | None = None
    text: str | None = None
    since: float | None = None
    before: float | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.state is not None:
            running = self.state in {JobState.RUNNING, "CANCELLING"}
            found.append(Job.state == (JobState.RUNNING if running else self.state))
            if running:
                found.append(Job.cancel_requested == (self.state == "CANCELLING"))
        equal = ((Job.type, self.type), (Job.model, self.model), (Job.estimator, self.estimator))
        found += [column == value for column, value in equal if value is not None]
        if self.dataset is not None:
            found.append(Job.id.in_(select(JobLink.job_id).where(JobLink.target_id == self.dataset)))
        if self.tag is not None:
            found.append(Job.id.in_(select(JobTag.job_id).where(JobTag.tag == self.tag)))
        if self.since is not None:
            found.append(Job.created_at >= self.since)
        if self.before is not None:
            found.append(Job.created_at < self.before)
        if self.text:
            named = (Job.display_name, Job.model, Job.estimator)
            parts = [column.icontains(self.text, autoescape=True) for column in named]
            found.append(or_(*parts, Job.id.startswith(self.text.lower(), autoescape=True)))
        return found
