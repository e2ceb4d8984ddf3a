"""Watches the trainer that runs one attempt, until the trainer answers, dies, or has to be ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import Unavailable
from app.jobs.state import ErrorKind
from app.registry.db import Database
from app.registry.jobs.attempts import AttemptRepository
from app.registry.jobs.gangs import GangRepository, SeatKey
from app.registry.jobs.transitions import fence
from workers.worker.trainer_handle import Death, TrainerProcess

log = structlog.get_logger("worker")

READY_S = 120.0
"""Seconds that a trainer may take to get ready, and as many to start the attempt."""
_POLL_S = 0.2


class AttemptWatch:
    """One attempt in one trainer.

    Until the trainer says that it has started the attempt, and so extends the lease itself, this does: TensorFlow holds
    the interpreter's lock while it waits for the other members of a cluster, so that no thread of the trainer runs. A
    trainer that stays when its attempt is over is ended, at once or, once it has started, after its grace.

    Args:
        seat: the seat of a gang's member that is not its chief.
        memory_limit: bytes that the trainer may hold; None for no limit.
        draining: whether the worker is asked to stop.
        oom_kills: how often the kernel ended a process because memory ran out; None if that is not known.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        trainer: TrainerProcess,
        job_id: str,
        attempt: int,
        *,
        seat: SeatKey | None = None,
        memory_limit: int | None,
        draining: Callable[[], bool],
        oom_kills: Callable[[], int | None],
    ) -> None:
        self._settings, self._database, self._trainer = settings, database, trainer
        self._job_id, self._attempt, self._memory_limit = job_id, attempt, memory_limit
        self._draining, self._oom_kills, self._seat = draining, oom_kills, seat
        self._started = False
        self._drained_at: float | None = None
        self._beat_at = 0.0
        self._over_since: float | None = None

    def wait(self, *, may_try_again: bool) -> str | None:
        """The attempt's outcome; None: the trainer died before it started the attempt, and another may take it.

        Args:
            may_try_again: whether another trainer is allowed to take it.
        """
        begin = time.monotonic()
        while self._trainer.death is None:
            outcome = self._answer(self._trainer.receive(_POLL_S) or {})
            outcome = outcome or self._end_if_over() or self._end_if_over_memory()
            outcome = outcome or self._end_if_not_started(time.monotonic() - begin) or self._drain()
            if outcome is not None:
                return outcome
        return self._died(self._trainer.death, may_try_again)

    def _answer(self, message: dict[str, Any]) -> str | None:
        """The outcome, if the trainer's message has it."""
        if (message.get("job_id"), message.get("attempt")) != (self._job_id, self._attempt):
            return None
        self._started = self._started or "started" in message
        return str(message["ended"]) if "ended" in message else None

    def _end_if_over(self) -> str | None:
        """Extends the lease before the attempt has started, and only looks at it afterwards."""
        if time.monotonic() < self._beat_at:
            return None
        settings = self._settings
        self._beat_at = time.monotonic() + (settings.lease_s if self._started else self._beat_every_s)
        try:
            with self._database.session() as session:
                stands = self._look(session) if self._started else self._beat(session)
        except Unavailable:
            log.warning("the registry does not answer", job_id=self._job_id)
            return None
        if stands:
            self._over_since = None
            return None
        self._over_since = self._over_since or time.monotonic()
        grace_s = settings.grace_s + settings.lease_s if self._started else 0.0
        if time.monotonic() - self._over_since < grace_s:
            return None
        log.warning("the attempt is over and its trainer is ended", job_id=self._job_id, attempt=self._attempt)
        self._trainer.kill()
        return "lost"

    @property
    def _beat_every_s(self) -> float:
        return min(self._settings.heartbeat_s, self._settings.lease_s / 4)

    def _look(self, session: Session) -> bool:
        return fence(session, self._job_id, self._attempt) is not None

    def _beat(self, session: Session) -> bool:
        attempts = AttemptRepository(session, retry_backoff_s=self._settings.retry_backoff_s)
        if self._seat is not None:
            return GangRepository(session, attempts).keep_seat(self._seat, self._settings.lease_s)
        return attempts.heartbeat(self._job_id, self._attempt, self._settings.lease_s) is not None

    def _end_if_over_memory(self) -> str | None:
        if not self._started or self._memory_limit is None or self._trainer.memory_bytes() <= self._memory_limit:
            return None
        detail = f"The trainer held more than its limit of {self._memory_limit} bytes."
        return self._out_of_memory(self._trainer.kill(), detail)

    def _end_if_not_started(self, waited_s: float) -> str | None:
        if self._started or waited_s <= (2 * READY_S if self._trainer.ready else READY_S):
            return None
        what = "start the attempt" if self._trainer.ready else "get ready"
        return self._lost(self._trainer.kill(), f"The trainer process did not {what}.")

    def _drain(self) -> str | None:
        """Tells the trainer once that the worker is to stop; ends it if it does not give the job back in time."""
        if self._drained_at is None:
            if self._draining():
                self._drained_at = time.monotonic()
                self._trainer.send({"drain": True})
            return None
        if time.monotonic() - self._drained_at <= self._settings.grace_s:
            return None
        reason = f"The worker stopped, and the trainer did not give the job back in {self._settings.grace_s} s."
        return self._lost(self._trainer.kill(), reason)

    def _died(self, death: Death, may_try_again: bool) -> str | None:
        if not self._started and may_try_again and self._drained_at is None:
            return None
        if self._killed_by_kernel(death):
            return self._out_of_memory(death, "The system ended the trainer because memory ran out.")
        return self._lost(death, death.reason)

    def _killed_by_kernel(self, death: Death) -> bool:
        """Whether the kernel ended the trainer: by SIGKILL, and the kernel has counted a kill in the meantime."""
        if death.signal != signal.SIGKILL:
            return False
        before, now = self._trainer.oom_kills_before, self._oom_kills()
        return before is not None and now is not None and now > before

    def _out_of_memory(self, death: Death, why: str) -> str:
        """Records that the trainer was ended for the memory that it held."""
        detail = f"{why} Use smaller batches, layers or embeddings, or a worker with more memory."

        def fail(session: Session) -> str | None:
            jobs = AttemptRepository(session, retry_backoff_s=self._settings.retry_backoff_s)
            facts = {"peak_memory_bytes": death.peak_memory_bytes, "exit_signal": death.signal}
            jobs.end_attempt(self._job_id, self._attempt, **facts)
            return jobs.fail(self._job_id, self._attempt, ErrorKind.OUT_OF_MEMORY, detail)

        log.warning("trainer ended: out of memory", job_id=self._job_id, attempt=self._attempt, why=why)
        return self._record(fail) or "lost"

    def _lost(self, death: Death, reason: str) -> str:
        """Records a trainer's death."""

        def lose(session: Session) -> str | None:
            jobs = AttemptRepository(session, retry_backoff_s=self._settings.retry_backoff_s)
            return jobs.lose(self._job_id, self._attempt, reason, death.signal, death.peak_memory_bytes)

        log.warning("trainer died", job_id=self._job_id, attempt=self._attempt, reason=reason)
        self._record(lose)
        return "lost"

    def _record(self, write: Callable[[Session], str | None]) -> str | None:
        """Runs a write of the attempt's end. When the registry does not answer, the lease runs out by itself."""
        try:
            return self._database.run(write, patience_s=self._settings.lease_s)
        except Unavailable:
            log.warning("the end could not be recorded; the lease will run out", job_id=self._job_id)
            return None
