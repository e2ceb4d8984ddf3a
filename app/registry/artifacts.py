"""Directories of the artifact store that rows refer to. Others that are older than a grace are garbage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.jobs.state import JobState
from app.registry.tables import Attempt, Checkpoint, Dataset, Export, Job

_AT_ONCE = 500


class ArtifactRepository:
    """Keys are `datasets/<id>`, `exports/<id>`, `jobs/<job>/<attempt>`, `predictions/<job>` and, for checkpoints,
    the prefix of their files."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def unreferenced(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` (found in the store) that no row needs. A key of another form is never given: it is not
        ours. Look at the age first, then ask: a directory is made before its row."""
        by_kind: dict[str, dict[str, str]] = {"datasets": {}, "exports": {}, "predictions": {}, "jobs": {}}
        for key in keys:
            parts = key.strip("/").split("/")
            if len(parts) == (3 if parts[0] == "jobs" else 2) and parts[0] in by_kind:
                by_kind[parts[0]][key] = parts[1]
        found = self._missing(by_kind["datasets"], Dataset.id)
        found += self._missing(by_kind["exports"], Export.id)
        kept = Job.state.not_in([JobState.FAILED, JobState.CANCELLED])
        found += self._missing(by_kind["predictions"], Job.id, kept)
        return sorted(found + self._without_attempt(by_kind["jobs"]))

    def stray_checkpoints(self, job_id: str, attempt: int, prefixes: Iterable[str]) -> list[str]:
        """Those of `prefixes` (found in an attempt's directory) that are not on record, once the attempt is over: what
        it wrote and did not commit. While the attempt runs: none."""
        running = select(Job.id).where(Job.id == job_id, Job.attempt == attempt, Job.state == JobState.RUNNING)
        if self.session.scalar(running) is not None:
            return []
        known = set(self.session.scalars(select(Checkpoint.path).where(Checkpoint.job_id == job_id)))
        return sorted(set(prefixes) - known)

    def _missing(
        self, ids: dict[str, str], column: InstrumentedAttribute[str], *conditions: ColumnElement[bool]
    ) -> list[str]:
        """The keys (→ id) whose id has no row."""
        known: set[str] = set()
        for some in _chunks(sorted(ids.values())):
            known.update(self.session.scalars(select(column).where(column.in_(some), *conditions)))
        return [key for key, identifier in ids.items() if identifier not in known]

    def _without_attempt(self, jobs: dict[str, str]) -> list[str]:
        known: set[str] = set()
        for some in _chunks(sorted(set(jobs.values()))):
            rows = self.session.execute(select(Attempt.job_id, Attempt.number).where(Attempt.job_id.in_(some)))
            known.update(f"jobs/{job_id}/{number}" for job_id, number in rows)
        return [key for key in jobs if key.strip("/") not in known]


def _chunks(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE)]
