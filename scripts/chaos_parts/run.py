"""One chaos run: reference trainings, then jobs and faults side by side until every job has ended."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from scripts.chaos_parts import faults, work
from scripts.chaos_parts.service import NotRunning, Service

_BACKLOG = 5
"""Jobs that wait or run at a time, while there are more to come."""
_DB_AWAY = (psycopg.Error, sqlite3.Error)


@dataclass
class Outcome:
    """What was asked for and what was done; the checker says what became of it.

    Attributes:
        submitted: job id to seed, of each submit that was answered 202.
        references: seed to the id of its undisturbed job.
        faults: how often each kind was done.
    """

    submitted: dict[str, int] = field(default_factory=dict)
    references: dict[int, str] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Run:
    """One run under faults: jobs, the kills, and the check afterwards.

    Args:
        steps: of each job.
        limit_s: for all of it.
        tell: is told what is done.
        gangs: jobs are run by one to four workers together.
    """

    def __init__(
        self,
        ground: faults.Ground,
        jobs: int,
        steps: int,
        limit_s: float,
        tell: Callable[[str], None],
        *,
        gangs: bool = False,
    ) -> None:
        self._ground, self._service, self._jobs, self._tell = ground, ground.service, jobs, tell
        self._steps, self._gangs = steps, gangs
        self._draw = ground.random
        self._begin = time.monotonic()
        self._end = self._begin + limit_s
        self._dataset = ""
        self.outcome = Outcome()

    def references(self, seeds: int) -> None:
        """Undisturbed trainings, one for each seed."""
        answer = self._service.call(
            "POST", "/v1/datasets", files={"file": ("table.csv", work.table_csv())}, data={"name": "table"}
        )
        self._dataset = answer["id"]
        for seed in range(seeds):
            self.outcome.references[seed] = self._submit(f"reference-{seed}", seed, "reference", workers=1)
        while (left := self._unfinished(list(self.outcome.references.values()))) and time.monotonic() < self._end:
            time.sleep(0.3)
        if left:
            raise NotRunning("The undisturbed jobs did not end in the time that all has.")

    def go(self) -> None:
        """Submits and strikes until all is done or the time is over."""
        submitting = threading.Thread(target=self._submit_all, name="submit")
        submitting.start()
        try:
            self._strike_all()
        except BaseException:
            self._end = 0.0  # an interrupted run submits no more
            raise
        finally:
            submitting.join()
            for pause in self._ground.pauses:
                pause.join()
        self._tell("all faults done; waiting for the jobs")
        while self._unfinished(list(self.outcome.submitted)) and time.monotonic() < self._end + 60:
            time.sleep(0.5)
        self.outcome.seconds = time.monotonic() - self._begin

    def _submit(self, key: str, seed: int, model: str, *, workers: int, promote: bool = False) -> str:
        body = work.train_body(self._dataset, seed, model, steps=self._steps, promote=promote)
        if self._gangs:
            body = work.gang_body(body, workers)
        answer = self._service.call("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": key})
        return str(answer["id"])

    def _submit_all(self) -> None:
        for number in range(self._jobs):
            # Jobs come as the faults go on, so that the last faults still find jobs to harm.
            while time.monotonic() < self._end and self._is_early(number):
                time.sleep(0.2)
            seed = number % len(self.outcome.references)
            try:
                workers = 1 + number % 4
                job = self._submit(f"job-{number}", seed, f"chaos-{seed}", workers=workers, promote=number % 10 == 0)
            except NotRunning as error:
                self.outcome.refused.append(str(error))
                continue
            self.outcome.submitted[job] = seed

    def _is_early(self, number: int) -> bool:
        waiting = len(self._unfinished(list(self.outcome.submitted)))
        return waiting >= _BACKLOG or self.outcome.faults.total() < 3 * (number - _BACKLOG)

    def _strike_all(self) -> None:
        planned = faults.plan(faults.kinds_for(self._ground.backend, self._ground.store), self._jobs, self._draw)
        misses: Counter[str] = Counter()
        while planned and time.monotonic() < self._end:
            time.sleep(self._draw.uniform(0.1, 0.9))
            self._wait_for_jobs()
            kind = planned.pop()
            if kind in faults.HEAVY and self._draw.random() < 0.8:
                self._wait_for_a_step()
            self._ground.remember_messages()
            if faults.strike(self._ground, kind):
                self.outcome.faults[kind] += 1
                self._tell(f"{kind} ({self.outcome.faults.total()} faults, {len(planned)} to come)")
                continue
            misses[kind] += 1
            if misses[kind] < 50:
                planned.insert(max(0, len(planned) - 1), kind)  # after one other: later there may be no job to harm

    def _wait_for_jobs(self) -> None:
        """Spreads the faults over the run: three for each job that has ended, and those for the next few."""
        end = min(self._end, time.monotonic() + 30)
        while time.monotonic() < end:
            submitted = list(self.outcome.submitted)
            ended = len(submitted) - len(self._unfinished(submitted))
            if ended >= self._jobs or self.outcome.faults.total() < 3 * (ended + 3):
                return
            time.sleep(0.2)

    def _wait_for_a_step(self) -> None:
        query = (
            "SELECT count(*) FROM attempts JOIN jobs ON jobs.id = attempts.job_id AND jobs.attempt = attempts.number "
            "WHERE jobs.state = 'RUNNING' AND attempts.last_step IS NOT NULL"
        )
        end = min(self._end, time.monotonic() + 20)
        while time.monotonic() < end:
            rows = self._look(query)
            if rows and rows[0][0]:
                return
            time.sleep(0.1)

    def _unfinished(self, jobs: list[str]) -> list[str]:
        rows = self._look("SELECT id FROM jobs WHERE state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')")
        if rows is None:
            return jobs
        ended = {row[0] for row in rows}
        return [job for job in jobs if job not in ended]

    def _look(self, query: str) -> list[tuple[object, ...]] | None:
        """Rows; None when the database does not answer."""
        try:
            with self._ground.backend.sql() as connection:
                return list(connection.execute(query).fetchall())
        except _DB_AWAY:
            return None


def seeded(seed: int) -> random.Random:
    return random.Random(seed)


__all__ = ["Outcome", "Run", "Service", "seeded"]
