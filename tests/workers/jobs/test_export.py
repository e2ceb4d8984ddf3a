"""What becomes of an export when the database's answers are lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.orm import Session

from app.errors import Unavailable
from app.jobs.state import JobState
from app.registry.db import Database
from app.registry.exports import ExportRepository
from app.registry.jobs.attempts import Claim
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Job
from tests.workers.in_process import Service, flowers
from tests.workers.trainer.test_runner import request
from workers.trainer import runner


class ForgetfulDatabase(Database):
    """Commits the end of a job, and loses the connection before it can say so, once."""

    def __init__(self, database: Database, claim: Claim) -> None:
        super().__init__(database.engine)
        self._job, self.forgot = claim.job_id, False

    @contextmanager
    def session(self) -> Iterator[Session]:
        with super().session() as session:
            yield session
            job = session.get(Job, self._job, populate_existing=True)
            ended = job is not None and job.state == JobState.SUCCEEDED
        if ended and not self.forgot:
            self.forgot = True
            raise Unavailable("The connection was lost.")


def test_export_stays_when_the_answer_to_its_commit_is_lost(tmp_path: Path, migrated_sqlite: Path) -> None:
    service = Service(tmp_path, migrated_sqlite)
    job_id = service.submit(request(service.upload(flowers()), train={"max_steps": 5}))
    claim = service.claim(job_id)
    database = ForgetfulDatabase(service.database, claim)

    runner.run(claim, database, service.storage, service.settings)

    assert database.forgot
    assert service.job(job_id).state == JobState.SUCCEEDED
    (export,) = service.look(ExportRepository, "for_job", job_id)
    assert service.storage.digest(export.path) == export.digest
    assert [attempt.state for attempt in service.look(JobRepository, "attempts", job_id)] == ["SUCCEEDED"]
    service.database.close()
