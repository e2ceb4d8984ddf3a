"""Heartbeat of a running attempt: extends its lease, records progress and metric points, receives stop requests."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from app.errors import Unavailable
from app.jobs.state import ErrorKind
from app.registry.db import Database
from app.registry.jobs.attempts import AttemptRepository
from app.registry.metric_points import MetricRepository
from workers.attempt.progress import ProgressBuffer
from workers.attempt.stop import Stop, StopSignal

log = logging.getLogger(__name__)

HUNG = 70
"""Exit code of a trainer whose attempt did not stop when that was requested."""


class Heartbeat(threading.Thread):
    """Beats until `stop` is called.

    Args:
        lease_s: seconds by which one beat extends the lease.
        every_s: seconds between beats.
        timeout_s: limit of the attempt's run time; None: no limit.
        grace_s: how long the attempt may take to stop once it is requested; then the process ends itself, for a loop
            that hangs in one step cannot be stopped otherwise.
        retry_backoff_s: see `AttemptRepository`.
        usage: the attempt's use of its host, for the progress.
        drain: whether the worker is to stop: the attempt then checkpoints and gives the job back.
        die: ends the process; tests replace it.
    """

    def __init__(
        self,
        database: Database,
        job_id: str,
        attempt: int,
        stop_signal: StopSignal,
        progress: ProgressBuffer,
        *,
        lease_s: float,
        every_s: float,
        timeout_s: float | None,
        grace_s: float,
        retry_backoff_s: float,
        usage: Callable[[], dict[str, Any]] = dict,
        drain: Callable[[], bool] = lambda: False,
        die: Callable[[int], object] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._database, self._job_id, self._attempt = database, job_id, attempt
        self._stop_signal, self._progress = stop_signal, progress
        self._lease_s, self._every_s, self._grace_s = lease_s, min(every_s, lease_s / 4), grace_s
        self._clock = clock
        self._deadline = None if timeout_s is None else clock() + timeout_s
        self._answered = clock()
        self._ended = threading.Event()
        self._retry_backoff_s = retry_backoff_s
        self._usage, self._drain, self._die = usage, drain, die

    def run(self) -> None:
        while not self._ended.wait(self._every_s):
            self.beat()

    def stop(self) -> None:
        """No further beats after this returns."""
        self._ended.set()
        if self.is_alive():
            self.join()

    def beat(self) -> None:
        """One beat."""
        if self._drain():
            self._stop_signal.request(Stop.DRAIN)
        if self._deadline is not None and self._clock() > self._deadline:
            self._stop_signal.request(Stop.TIMEOUT)
        sent = self._clock()
        points = self._progress.points()
        self._progress.update(**self._usage())
        try:
            with self._database.session() as session:
                attempts = AttemptRepository(session, retry_backoff_s=self._retry_backoff_s)
                reply = attempts.heartbeat(self._job_id, self._attempt, self._lease_s, self._progress.values)
                if reply is not None and points:
                    MetricRepository(session).add_points(self._job_id, self._attempt, points)
        except Unavailable:
            log.warning("The registry does not answer; training goes on.")
            if self._clock() - self._answered > 0.7 * self._lease_s:
                self._stop_signal.request(Stop.UNREACHABLE)
            self._give_up()
            return
        except Exception:
            log.exception("A heartbeat failed.")
            return
        # The lease counts from when the registry received the beat, which is after it was sent.
        self._answered = sent
        if reply is None:
            self._stop_signal.request(Stop.FENCED)
        else:
            self._progress.mark_recorded(points)
            if reply.cancel:
                self._stop_signal.request(Stop.CANCEL)
            if reply.drain:
                self._stop_signal.request(Stop.DRAIN)
        self._give_up()

    def _give_up(self) -> None:
        """Ends the process when the attempt hangs."""
        if self._stop_signal.pending_s <= self._grace_s or self._ended.is_set():
            return
        log.error("The attempt did not stop within %.0f s; the process ends itself.", self._grace_s)
        reason = self._stop_signal.reason
        try:
            with self._database.session() as session:
                attempts = AttemptRepository(session, retry_backoff_s=self._retry_backoff_s)
                if reason is Stop.TIMEOUT:
                    detail = "The job ran longer than its timeout_s."
                    attempts.fail(self._job_id, self._attempt, ErrorKind.TIMEOUT, detail)
                elif reason is Stop.CANCEL:
                    attempts.cancelled(self._job_id, self._attempt)
        except Exception:
            log.exception("The end of the attempt could not be recorded.")
        self._die(HUNG)
