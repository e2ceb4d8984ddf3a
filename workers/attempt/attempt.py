"""One running attempt: its directory, its stop requests, and its writes to the registry, all of them fenced."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import Unavailable
from app.registry.checkpoints import CheckpointRepository
from app.registry.db import Database
from app.registry.evaluations import EvaluationRepository
from app.registry.jobs.attempts import AttemptRepository, Claim
from app.registry.metric_points import MetricRepository
from app.registry.tables import Evaluation
from app.storage import Holding, Storage
from app.traces import Trace
from workers import memory
from workers.attempt.progress import ProgressBuffer
from workers.attempt.stop import Stop, StopSignal

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Keep:
    """Checkpoints of a job that are kept: the newest ones, and one per `every_s` seconds."""

    newest: int
    every_s: float | None = None


class Stopped(Exception):
    """The attempt ends before its work is done; `reason` says why."""

    def __init__(self, reason: Stop) -> None:
        super().__init__(reason.value)
        self.reason = reason


class RunningAttempt:
    """The attempt as the code of each job type sees it.

    Attributes:
        claim: the right to run it, with the job's specification.
        directory: this attempt's own; an estimator's `model_dir`. Of a gang's members the chief has the attempt's, the
            others each one below it.
        stop_signal: requests to stop it.
        progress: its progress and metric points.
        timings: when each stage up to the first step was reached, in seconds since the job was submitted.
        started: a gang's member calls it when it has joined the others.
        trace: that the attempt belongs to.
    """

    started: Callable[[], object] = staticmethod(lambda: None)
    trace = Trace()

    def __init__(
        self,
        claim: Claim,
        database: Database,
        storage: Storage,
        settings: Settings,
        stop_signal: StopSignal,
        progress: ProgressBuffer,
        timings: Mapping[str, float],
    ) -> None:
        """Creates the attempt's directory.

        Args:
            timings: host times, in seconds since 1970, of the stages before: `submitted`, `claimed`.
        """
        self.claim, self.database, self.storage = claim, database, storage
        self.settings, self.stop_signal, self.progress = settings, stop_signal, progress
        self._submitted = timings.get("submitted", time.time())
        self.timings = {name: round(at - self._submitted, 4) for name, at in timings.items()}
        self.key = storage.attempt_key(claim.job_id, claim.attempt)
        self.directory: Path = storage.path(self.key)
        if claim.gang is not None and claim.gang.number > 0:
            self.directory /= f"worker-{claim.gang.number}"
        self._leases: list[Holding] = [storage.occupy(self.key)]
        self.directory.mkdir(parents=True, exist_ok=True)

    @property
    def spill_directory(self) -> Path:
        """Directory for big temporary arrays; removed at the end."""
        return self.directory / "scratch"

    def mark(self, name: str, at: float | None = None) -> None:
        """Records when a stage of the job was reached: now, or at a host time."""
        self.timings.setdefault(name, round((time.time() if at is None else at) - self._submitted, 4))
        self.progress.update(timings=self.timings)

    def check(self) -> None:
        """Raises Stopped when the attempt is to end."""
        if self.stop_signal.reason is not None:
            raise Stopped(self.stop_signal.reason)

    def write(self, work: Callable[[Session], T | None]) -> T:
        """Runs a fenced write; it is repeated while the registry does not answer and the lease lasts.

        Args:
            work: may run twice; returns None or False when the attempt is over.

        Raises:
            Stopped: the attempt is over, or the registry does not answer while the lease lasts.
        """
        try:
            result = self.database.run(work, patience_s=0.6 * self.settings.lease_s)
        except Unavailable:
            self.stop_signal.request(Stop.UNREACHABLE)
            raise Stopped(Stop.UNREACHABLE) from None
        if result is None or result is False:
            self.stop_signal.request(Stop.FENCED)
            raise Stopped(Stop.FENCED)
        return result

    def read(self, work: Callable[[Session], T]) -> T:
        """Runs a read of the registry; it is repeated like `write`."""
        try:
            return self.database.run(work, patience_s=0.6 * self.settings.lease_s)
        except Unavailable:
            self.stop_signal.request(Stop.UNREACHABLE)
            raise Stopped(Stop.UNREACHABLE) from None

    def attempts(self, session: Session) -> AttemptRepository:
        return AttemptRepository(session, retry_backoff_s=self.settings.retry_backoff_s)

    def fetch(self, key: str) -> Path:
        """Has an artifact on this host until the attempt ends, and waits where the store does not answer.

        Raises:
            NotFound: it is not in the store, or damaged there.
            Stopped: the attempt is to end.
            Unavailable: the store did not answer for too long.
        """
        lease = self.patiently(lambda: self.storage.hold(key))
        if self.storage.remote:
            self._leases.append(lease)
        return lease.path

    def publish(self, key: str) -> None:
        """Makes what was written readable on all hosts, as `fetch` waits."""
        self.patiently(lambda: self.storage.publish(key))

    def close(self) -> None:
        """What was fetched may go from this host."""
        for lease in self._leases:
            lease.release()
        self._leases.clear()

    def patiently(self, work: Callable[[], T]) -> T:
        """What the store does, and again while it does not answer, as long as a job waits for it."""
        deadline, pause = time.monotonic() + self.settings.store_patience_s, 0.5
        while True:
            try:
                return work()
            except Unavailable as error:
                self.check()
                if time.monotonic() + pause > deadline:
                    raise
                log.warning("%s It is asked again in %g seconds.", error.detail, pause)
            time.sleep(pause)
            pause = min(2 * pause, 8.0)

    def record_checkpoint(self, step: int, keep: Keep, best_steps: Set[int]) -> None:
        """Records a complete checkpoint of this attempt's directory, once all hosts can read it, and removes those of
        the job that are not kept any more."""
        prefix = f"{self.key}/model.ckpt-{step}"
        self.publish(prefix)
        size = sum(file.stat().st_size for file in self.directory.glob(f"model.ckpt-{step}.*"))
        # A checkpoint is recorded when it is complete, and the loop may be some steps further by then.
        points = [point for point in self.progress.points() if point[1] <= step]
        claim = self.claim

        def add(session: Session) -> list[str] | None:
            if CheckpointRepository(session).add(claim.job_id, claim.attempt, step, prefix, size) is None:
                return None
            # With the checkpoint goes the series up to it: a resumed attempt repeats only what comes after.
            MetricRepository(session).add_points(claim.job_id, claim.attempt, points)
            return self._prune(session, keep, best_steps)

        surplus = self.write(add)
        self.progress.mark_recorded(points)
        self._remove(surplus)

    def _prune(self, session: Session, keep: Keep, best_steps: Set[int]) -> list[str]:
        """Removes rows of the job's checkpoints that are not kept; the keys of their files, which go after the
        commit."""
        repository = CheckpointRepository(session)
        surplus = repository.surplus(self.claim.job_id, keep.newest, best_steps=best_steps, every_s=keep.every_s)
        repository.remove([row.id for row in surplus])
        return [row.path for row in surplus]

    def _remove(self, checkpoints: list[str]) -> None:
        for path in checkpoints:
            try:
                self.storage.remove_files(path)
            except Unavailable:
                log.warning("The store does not answer; the reconciler removes %s later.", path)

    def record_evaluation(self, keep: Keep | None = None, best_steps: Set[int] = frozenset(), **fields: Any) -> str:
        """Records an evaluation, and each of its metrics in the job's series.

        Args:
            keep, best_steps: which checkpoints of the job are kept now; None: all.

        Returns:
            its id.
        """
        claim = self.claim

        def add(session: Session) -> tuple[str, list[str]] | None:
            row = EvaluationRepository(session).add(claim.job_id, claim.attempt, **fields)
            if row is None:
                return None
            points = [(f"eval/{name}", fields["step"], value) for name, value in fields["metrics"].items()]
            MetricRepository(session).add_points(claim.job_id, claim.attempt, points)
            return row.id, [] if keep is None else self._prune(session, keep, best_steps)

        evaluation, surplus = self.write(add)
        self._remove(surplus)
        return evaluation

    def record_report(self, step: int, name: str, report: dict[str, Any]) -> None:
        """Puts a report on record with the evaluation of that name that the job made of its checkpoint at `step`."""
        claim = self.claim

        def add(session: Session) -> Evaluation | None:
            evaluations = EvaluationRepository(session)
            return evaluations.add_report(claim.job_id, claim.attempt, step=step, name=name, report=report)

        self.write(add)

    def succeed(self, result: dict[str, Any], before: Callable[[Session], dict[str, Any] | None] | None = None) -> None:
        """Ends the job, in one transaction with what it publishes.

        Args:
            before: writes first; returns further entries of the result, or None when fenced.
        """
        points = self.progress.points()

        def end(session: Session) -> bool:
            more: dict[str, Any] | None = before(session) if before else {}
            if more is None:
                return False
            MetricRepository(session).add_points(self.claim.job_id, self.claim.attempt, points)
            jobs = self.attempts(session)
            jobs.heartbeat(self.claim.job_id, self.claim.attempt, self.settings.lease_s, self.progress.values)
            jobs.end_attempt(self.claim.job_id, self.claim.attempt, peak_memory_bytes=memory.peak_bytes())
            return jobs.succeed(self.claim.job_id, self.claim.attempt, result | more | {"timings": self.timings})

        self.write(end)
