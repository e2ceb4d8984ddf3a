"""A registry, an artifact store and data sets in a directory, and attempts run in this process by the real engine."""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.artifact_store import open_storage
from app.config import Settings
from app.datasets.ingest import ingest
from app.datasets.limits import Limits
from app.ids import new_id
from app.jobs.parse import parse_job
from app.jobs.plan import JobPlan
from app.jobs.spec import decode, encode
from app.registry.datasets import DatasetRepository
from app.registry.db import Database, make_engine
from app.registry.job_sources import RegistrySources
from app.registry.jobs.attempts import Claim
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Job
from tests.repositories import attempts


def flowers(rows: int = 200, seed: int = 1) -> str:
    """A CSV that a small model learns: two kinds, told apart by size and mostly by colour; some cells are empty."""
    chance = random.Random(seed)
    lines = ["kind,size,colour,count"]
    for row in range(rows):
        rose = row % 2 == 0
        size = "" if row % 25 == 3 else f"{chance.gauss(5 if rose else 2, 0.5):.3f}"
        colour = "" if row % 20 == 7 else chance.choice(["red", "red", "red", "white"] if rose else ["white", "blue"])
        lines.append(f"{'rose' if rose else 'daisy'},{size},{colour},{chance.randint(0, 9)}")
    return "\n".join(lines) + "\n"


class Service:
    """No processes: jobs are planned, stored, claimed and run one after the other."""

    def __init__(self, directory: Path, migrated: Path, **settings: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(migrated, directory / "registry.db")
        quick: dict[str, Any] = {"heartbeat_s": 0.02, "retry_backoff_s": 0.0, "database_url": "", "artifacts_url": ""}
        self.settings = Settings(data_dir=directory, **(quick | settings))
        self.database = Database(make_engine(self.settings))
        self.storage = open_storage(self.settings)

    def upload(self, text: str, name: str = "data.csv") -> str:
        dataset_id = new_id("ds")
        key = self.storage.dataset_key(dataset_id)
        made = ingest(io.BytesIO(text.encode()), name, self.storage.make(key), Limits())
        self.storage.publish(key)
        with self.database.session() as session:
            DatasetRepository(session).add(
                name=name,
                digest=made.digest,
                format=made.format,
                rows=made.rows,
                bytes=made.bytes,
                columns=made.columns,
                path=key,
                created_by=None,
                dataset_id=dataset_id,
            )
        return dataset_id

    def plan(self, body: dict[str, Any]) -> JobPlan:
        with self.database.read() as session:
            sources = RegistrySources(session)
            return parse_job(body, sources.dataset, sources)

    def submit(self, body: dict[str, Any], change: Callable[[dict[str, Any]], None] = lambda spec: None) -> str:
        """Stores a job; `change` edits its stored specification first, to plant what `parse_job` would refuse."""
        plan = self.plan(body)
        content = encode(plan.spec)
        change(content)
        with self.database.session() as session:
            return (
                JobRepository(session)
                .create(
                    decode(content),
                    queue=plan.queue,
                    priority=plan.priority,
                    max_attempts=plan.max_attempts,
                    timeout_s=plan.timeout_s,
                    created_by=None,
                )
                .id
            )

    def claim(self, job_id: str) -> Claim:
        with self.database.session() as session:
            claim = attempts(session).claim(job_id, self.job(job_id).attempt, "test", self.settings.lease_s)
        assert claim is not None
        return claim

    def run(self, job_id: str, **kwargs: Any) -> str:
        """Claims and runs one attempt."""
        from workers.trainer import runner

        return runner.run(self.claim(job_id), self.database, self.storage, self.settings, **kwargs)

    def job(self, job_id: str) -> Job:
        with self.database.read() as session:
            return JobRepository(session).get(job_id)

    def look(self, repository: Any, method: str, *args: Any) -> Any:
        """What a method of a repository gives."""
        with self.database.read() as session:
            return getattr(repository(session), method)(*args)

    def made_by(self, job_id: str, repository: Any) -> list[Any]:
        """What a job made itself, of what the repository has for it: others may use its checkpoints."""
        return [one for one in self.look(repository, "for_job", job_id) if one.job_id == job_id]
