"""One slot of a worker: claims jobs, hands them to its trainer, and makes sure that every attempt ends on record."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from app.artifact_store import open_storage
from app.config import Settings
from app.errors import Unavailable
from app.registry.db import Database, revision_state, seconds
from app.registry.events import EventRepository
from app.registry.jobs.attempts import AttemptRepository, Claim
from app.registry.jobs.gangs import GangRepository
from app.registry.tables import Job
from app.traces import make_tracing
from workers import memory
from workers.attempt.attempt_mirror import AttemptMirror
from workers.worker.attempt_watch import AttemptWatch
from workers.worker.devices import Devices
from workers.worker.gang import HeldSeat, free_address
from workers.worker.trainer_handle import TrainerProcess, member_trainer
from workers.worker.trainer_protocol import claim_to_json

log = structlog.get_logger("worker")

_TRIES = 3
"""Trainers that one claim may use up before one of them starts the attempt."""


class Slot:
    """Runs attempts one at a time. It holds no TensorFlow; its trainer does, and may die.

    Args:
        draining: whether the worker is asked to stop.
        start_trainer: makes a trainer process on the slot's devices; `start_member`: one for a member of a gang.
        keep_warm: starts the next trainer after an attempt, before anybody asks for it.
        oom_kills: how often the kernel ended a process because memory ran out; None if that is not known.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        draining: Callable[[], bool] = lambda: False,
        start_trainer: Callable[[Devices], TrainerProcess] = TrainerProcess,
        start_member: Callable[[Devices], TrainerProcess] = member_trainer,
        worker: str | None = None,
        keep_warm: bool = True,
        oom_kills: Callable[[], int | None] = memory.oom_kills,
    ) -> None:
        self._settings, self._database = settings, database
        self._draining, self._oom_kills, self._keep_warm = draining, oom_kills, keep_warm
        self._start_trainer, self._start_member = start_trainer, start_member
        self._worker = worker or f"{socket.gethostname()}:{os.getpid()}"
        self._storage = open_storage(settings)
        self.devices = Devices(settings)
        self.trainer: TrainerProcess | None = None
        self._busy = threading.Lock()
        self._tracing = make_tracing(settings, "estimator-worker")

    def look_after(self, every_s: float = 1.0) -> None:
        """Keeps a living trainer in the slot while it is idle, until the worker drains; run it in a thread."""
        while not self._draining():
            if self._busy.acquire(blocking=False):
                try:
                    self.warm_up()
                finally:
                    self._busy.release()
            time.sleep(every_s)

    def warm_up(self) -> None:
        """Starts a trainer if there is none; does not wait for it."""
        if self.trainer is not None and self.trainer.receive(0.0) is None and self.trainer.death is not None:
            self.trainer = None
        if self.trainer is None and self.devices.take():
            self.trainer = self._start_trainer(self.devices)

    def close(self) -> None:
        if self.trainer is not None:
            self.trainer.close()
            self.trainer = None
        self.devices.close()

    def run(self, job_id: str, attempt_seen: int) -> str | None:
        """Runs one attempt to its end. None: there was nothing to do (the message was old, doubled or early)."""
        if self._draining():
            return None  # the reconciler sends the message again, for another worker
        if not self.devices.take():
            log.warning("all GPUs are in use by other workers; the job stays queued", job_id=job_id)
            return None
        try:
            claimed = self._claim(job_id, attempt_seen)
        except Unavailable:
            log.warning("the registry does not answer; the job stays queued", job_id=job_id)
            return None
        if claimed is None:
            return None
        with self._busy:
            found, submitted = claimed
            if isinstance(found, HeldSeat):
                return self._run_together(found, submitted)
            return self._run(found, submitted)

    def _run_together(self, seat: HeldSeat, submitted: float) -> str | None:
        """Waits for the other members of a gang, then runs this one's part of the attempt. Its trainer is a fresh one,
        for TensorFlow joins one cluster in the life of a process; it starts while the gang forms."""
        try:
            if self.trainer is not None:
                self.trainer.close()
            self.trainer = self._start_member(self.devices)
            claim = seat.wait_for_others(self._draining)
            return None if claim is None else self._run(claim, submitted, seat)
        finally:
            seat.leave()
            if self.trainer is not None:
                self.trainer.kill()
                self.trainer = None
            if self._keep_warm and not self._draining():
                self.warm_up()

    def _run(self, claim: Claim, submitted: float, seat: HeldSeat | None = None) -> str:
        parent = None
        if self._tracing is not None:
            with self._database.read() as session:
                parent = EventRepository(session).traceparent(claim.job_id)
        if self._tracing is None or parent is None or not self._tracing.wants(parent):
            return self._run_claimed(claim, submitted, seat)
        facts: dict[str, Any] = {"job": claim.job_id, "attempt": claim.attempt, "worker": self._worker}
        claimed = time.time()
        self._tracing.begin("wait for a worker", parent, at=submitted, **facts).end(at=claimed)
        span = self._tracing.begin("attempt", parent, at=claimed, seat=seat and seat.key.number, **facts)
        outcome = "lost"
        try:
            outcome = self._run_claimed(claim, submitted, seat, span.traceparent)
            return outcome
        finally:
            span.end(outcome=outcome, error=None if outcome in ("succeeded", "queued", "cancelled") else outcome)
            self._tracing.flush()

    def _run_claimed(
        self, claim: Claim, submitted: float, seat: HeldSeat | None, traceparent: str | None = None
    ) -> str:
        bound = log.bind(job_id=claim.job_id, attempt=claim.attempt)
        bound.info("claimed", seat=seat and seat.key.number)
        outcome = None
        timings = {"submitted": submitted, "claimed": time.time()}
        message = {"run": claim_to_json(claim), "timings": timings, "traceparent": traceparent}
        # a gang's members wait for each other: where one does not start, all begin again
        for tries_left in reversed(range(_TRIES if seat is None else 1)):
            self.warm_up()
            trainer = self.trainer
            assert trainer is not None
            trainer.oom_kills_before = self._oom_kills()
            trainer.send(message)
            outcome = self._watch(trainer, claim, seat).wait(may_try_again=tries_left > 0)
            if trainer.death is not None:
                self.trainer = None
                # its last lines are those that tell why
                AttemptMirror(self._storage, self._storage.attempt_key(claim.job_id, claim.attempt)).send()
            elif seat or trainer.has_grown() or outcome in ("failed", "lost"):
                trainer.close()  # its memory, or whatever made it fail, goes with it
                self.trainer = None
            if outcome is not None:
                break
            bound.warning("the trainer died before it started the attempt; another one takes it")
        assert outcome is not None
        bound.info("ended", outcome=outcome)
        if self._keep_warm and not self._draining():
            self.warm_up()
        return outcome

    def _watch(self, trainer: TrainerProcess, claim: Claim, seat: HeldSeat | None) -> AttemptWatch:
        return AttemptWatch(
            self._settings,
            self._database,
            trainer,
            claim.job_id,
            claim.attempt,
            seat=None if seat is None or seat.key.number == 0 else seat.key,
            memory_limit=claim.spec.memory_limit_bytes or self._settings.job_memory_limit,
            draining=self._draining,
            oom_kills=self._oom_kills,
        )

    def _claim(self, job_id: str, attempt_seen: int) -> tuple[Claim | HeldSeat, float] | None:
        """The claimed attempt, or a seat of a job that several workers run together; and the host time at which the
        job was submitted."""
        if (state := revision_state(self._database.engine)) != "ok":
            log.warning("refused: the database is of another revision than this worker", state=state, job_id=job_id)
            return None
        settings, lease_s = self._settings, self._settings.lease_s
        with self._database.session() as session:
            jobs = AttemptRepository(session, retry_backoff_s=settings.retry_backoff_s)
            job = session.get(Job, job_id)
            if job is None:
                return None
            cap = settings.queue_caps_by_name.get(job.queue)
            have = settings.slot_devices
            claimed: Claim | HeldSeat | None
            if job.seats == 1:
                claimed = jobs.claim(job_id, attempt_seen, self._worker, lease_s, devices=have, queue_cap=cap)
            else:
                gangs, address = GangRepository(session, jobs), free_address(settings)
                key = gangs.take_seat(job_id, attempt_seen, self._worker, address, lease_s, devices=have, queue_cap=cap)
                claimed = None if key is None else HeldSeat(settings, self._database, key)
            if claimed is None:
                return None
            # The database's clock says how long ago that was; this host's clock may be another.
            return claimed, time.time() - max(0.0, seconds(session) - job.created_at)
