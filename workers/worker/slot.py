"""One slot of a worker: claims a job, gives it to its trainer, and answers for what becomes of it."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from app.config import Settings
from app.errors import Unavailable
from app.jobs.state import ErrorKind
from app.registry.db import Database, revision_state, seconds
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Job
from workers import memory
from workers.worker.devices import Devices
from workers.worker.protocol import claim_to_json
from workers.worker.trainer_handle import Death, TrainerProcess

log = structlog.get_logger("worker")

_READY_S = 120.0
_TRIES = 3
"""Trainers that one claim may use up before one of them starts the attempt."""
_MAX_ATTEMPTS = 50
"""Attempts that one trainer process runs before a fresh one takes its place."""


class Slot:
    """Runs attempts one at a time. It holds no TensorFlow; its trainer does, and may die.

    Args:
        draining: whether the worker was told to stop.
        start_trainer: makes a trainer process on the slot's devices.
        oom_kills: how often the kernel ended a process for want of memory so far, None if that is not known.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        draining: Callable[[], bool] = lambda: False,
        start_trainer: Callable[[Devices], TrainerProcess] = TrainerProcess,
        worker: str | None = None,
        oom_kills: Callable[[], int | None] = memory.oom_kills,
    ) -> None:
        self._settings, self._database = settings, database
        self._draining, self._start_trainer, self._oom_kills = draining, start_trainer, oom_kills
        self._worker = worker or f"{socket.gethostname()}:{os.getpid()}"
        self.devices = Devices(settings)
        self.trainer: TrainerProcess | None = None
        self._busy = threading.Lock()

    def look_after(self, every_s: float = 1.0) -> None:
        """Sees to it, for ever, that an idle slot has a living trainer; run it in a thread."""
        while not self._draining():
            if self._busy.acquire(blocking=False):
                try:
                    self.warm_up()
                finally:
                    self._busy.release()
            time.sleep(every_s)

    def warm_up(self) -> None:
        """Sees to it that a trainer is there, or on its way; does not wait for it."""
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
            return None  # the reconciler rings again, for another worker
        if not self.devices.take():
            log.warning("other workers hold all GPUs; the job will be rung for again", job_id=job_id)
            return None
        try:
            claimed = self._claim(job_id, attempt_seen)
        except Unavailable:
            log.warning("the registry does not answer; the job will be rung for again", job_id=job_id)
            return None
        if claimed is None:
            return None
        with self._busy:
            return self._run(job_id, *claimed)

    def _run(self, job_id: str, message: dict[str, Any], attempt: int) -> str:
        bound = log.bind(job_id=job_id, attempt=attempt)
        bound.info("claimed")
        outcome = None
        limit = message["run"]["spec"]["memory_limit_bytes"]
        for tries_left in reversed(range(_TRIES)):
            self.warm_up()
            trainer = self.trainer
            assert trainer is not None
            trainer.attempts += 1
            trainer.oom_kills_before = self._oom_kills()
            trainer.send(message)
            outcome = self._wait(trainer, job_id, attempt, limit, may_try_again=tries_left > 0)
            if trainer.death is not None:
                self.trainer = None
            elif trainer.attempts >= _MAX_ATTEMPTS or outcome in ("failed", "lost"):
                trainer.close()  # its memory, or whatever made it fail, goes with it
                self.trainer = None
            if outcome is not None:
                break
            bound.warning("the trainer died before it started the attempt; another one takes it")
        assert outcome is not None
        bound.info("ended", outcome=outcome)
        if not self._draining():
            self.warm_up()
        return outcome

    def _claim(self, job_id: str, attempt_seen: int) -> tuple[dict[str, Any], int] | None:
        if (state := revision_state(self._database.engine)) != "ok":
            log.warning("refused: the database is of another revision than this worker", state=state, job_id=job_id)
            return None
        cap = self._settings.queue_caps_by_name
        with self._database.session() as session:
            jobs = JobRepository(session, retry_backoff_s=self._settings.retry_backoff_s)
            job = session.get(Job, job_id)
            if job is None:
                return None
            claim = jobs.claim(job_id, attempt_seen, self._worker, self._settings.lease_s, queue_cap=cap.get(job.queue))
            if claim is None:
                return None
            # The database's clock says how long ago that was; this host's clock may be another.
            submitted = time.time() - max(0.0, seconds(session) - job.created_at)
        timings = {"submitted": submitted, "claimed": time.time()}
        return {"run": claim_to_json(claim), "timings": timings}, claim.attempt

    def _wait(
        self, trainer: TrainerProcess, job_id: str, attempt: int, memory_limit: int | None, *, may_try_again: bool
    ) -> str | None:
        """Until the trainer answers or dies; passes on that the worker is to stop. Until the trainer says that it has
        started the attempt, and so keeps the lease itself, this does. None: it died before, and another may try."""
        drained_at: float | None = None
        started = False
        ready_by = time.monotonic() + _READY_S
        beat_at = 0.0
        while trainer.death is None:
            message = trainer.receive(0.2) or {}
            if (message.get("job_id"), message.get("attempt")) == (job_id, attempt):
                if "ended" in message:
                    return str(message["ended"])
                started = started or "started" in message
            if not started and time.monotonic() >= beat_at:
                beat_at = time.monotonic() + min(self._settings.heartbeat_s, self._settings.lease_s / 4)
                self._beat(job_id, attempt)
            if started and memory_limit is not None and trainer.memory_bytes() > memory_limit:
                detail = f"The trainer held more than the job's memory_limit_bytes of {memory_limit}."
                return self._out_of_memory(job_id, attempt, trainer.kill(), detail)
            if not trainer.ready and time.monotonic() > ready_by:
                return self._lost(job_id, attempt, trainer.kill(), "The trainer process did not get ready.")
            if drained_at is None and self._draining():
                drained_at = time.monotonic()
                trainer.send({"drain": True})
            if drained_at is not None and time.monotonic() - drained_at > self._settings.grace_s:
                reason = f"The worker stopped, and the trainer did not give the job back in {self._settings.grace_s} s."
                return self._lost(job_id, attempt, trainer.kill(), reason)
        if not started and may_try_again and drained_at is None:
            return None
        if self._was_out_of_memory(trainer):
            detail = "The system ended the trainer because memory ran out."
            return self._out_of_memory(job_id, attempt, trainer.death, detail)
        return self._lost(job_id, attempt, trainer.death, trainer.death.reason)

    def _was_out_of_memory(self, trainer: TrainerProcess) -> bool:
        """Whether a trainer's death was the kernel's doing: SIGKILL, and the kernel has counted a kill meanwhile."""
        if trainer.death is None or trainer.death.signal != signal.SIGKILL:
            return False
        before, now = trainer.oom_kills_before, self._oom_kills()
        return before is not None and now is not None and now > before

    def _beat(self, job_id: str, attempt: int) -> None:
        try:
            with self._database.session() as session:
                JobRepository(session).heartbeat(job_id, attempt, self._settings.lease_s)
        except Unavailable:
            log.warning("the registry does not answer", job_id=job_id)

    def _out_of_memory(self, job_id: str, attempt: int, death: Death, why: str) -> str:
        """Puts on record that the trainer was ended for what it held."""
        detail = f"{why} Use smaller batches, layers or embeddings, or a worker with more memory."

        def fail(session: Any) -> str | None:
            jobs = JobRepository(session, retry_backoff_s=self._settings.retry_backoff_s)
            jobs.end_attempt(job_id, attempt, peak_memory_bytes=death.peak_memory_bytes, exit_signal=death.signal)
            return jobs.fail(job_id, attempt, ErrorKind.OUT_OF_MEMORY, detail)

        log.warning("trainer ended: out of memory", job_id=job_id, attempt=attempt, why=why)
        try:
            return self._database.run(fail, patience_s=self._settings.lease_s) or "lost"
        except Unavailable:
            log.warning("the end could not be put on record; the lease will run out", job_id=job_id)
            return "lost"

    def _lost(self, job_id: str, attempt: int, death: Death, reason: str) -> str:
        """Puts a trainer's death on record. When the registry does not answer, the lease runs out by itself."""

        def lose(session: Any) -> Any:
            jobs = JobRepository(session, retry_backoff_s=self._settings.retry_backoff_s)
            return jobs.lose(job_id, attempt, reason, death.signal, death.peak_memory_bytes)

        log.warning("trainer died", job_id=job_id, attempt=attempt, reason=reason)
        try:
            self._database.run(lose, patience_s=self._settings.lease_s)
        except Unavailable:
            log.warning("the loss could not be put on record; the lease will run out", job_id=job_id)
        return "lost"
