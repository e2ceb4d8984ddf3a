"""Makes the registry, the broker and the disk agree: a small process of its own, `python -m workers.reconciler`.

Any number may run; a lease in SQL lets one work at a time. It needs no broker to decide, and no Celery. Each round:

    leases that ran out      the attempt is lost, its job queued again (or failed, when its attempts are spent)
    waiting limits           jobs that no worker took in time fail
    releases                 go on, or back when a guard is broken (`workers/release_keeper.py`)
    messages                 what a submit could not send; jobs that nobody took, again
    disk, now and then       directories and checkpoints that no row needs, once they are older than a grace
                             (`workers/sweep.py`)
    records, now and then    stored responses, events, metric points and audit entries that are older than the settings
                             keep them, and workers that died
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy.orm import Session

from app.artifact_store import open_storage
from app.config import Settings
from app.errors import Unavailable
from app.log import configure
from app.private_files import only_for_us
from app.process import pulse
from app.queue import Queue, make_queue
from app.registry.db import Database, make_engine, revision_state
from app.registry.jobs.outbox import OutboxRepository
from app.registry.jobs.reconcile import ReconcileRepository
from app.registry.leases import LeaseRepository
from app.registry.purge import RetentionRepository
from app.registry.workers import WorkerRepository
from app.storage import Storage
from workers.release_keeper import ReleaseKeeper
from workers.sweep import Sweeper

log = structlog.get_logger("reconciler")

LEASE = "reconciler"

PurgeJobs = Callable[[RetentionRepository, list[str]], None]


class Reconciler:
    """One round after the other; safe to run beside others.

    Args:
        holder: names this process in the lease.
        pulse: called again and again while work goes on; a supervisor ends a process that hangs.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        queue: Queue,
        storage: Storage,
        holder: str | None = None,
        *,
        pulse: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._pulse = pulse
        self._settings, self._database, self._queue = settings, database, queue
        self._holder = holder or f"{socket.gethostname()}:{os.getpid()}"
        self._releases = ReleaseKeeper(database)
        self._sweeper = Sweeper(settings, database, storage, pulse=pulse)
        self._ttl = max(5.0, 5 * settings.reconcile_s)
        self._sweep_every_s = min(300.0, settings.orphan_grace_s / 2)
        self._swept_at = float("-inf")
        self._fits = False
        self._purged: dict[str, tuple[float, str]] = {}  # what → end and id of the last job that was purged of it

    def round(self) -> bool:
        """Does what is due. False: another process holds the lease, or the database is not of this revision (yet).

        Raises:
            Unavailable: the database does not answer.
        """
        if not self._fits:
            self._fits = revision_state(self._database.engine) == "ok"
            if not self._fits:
                return False
        with self._database.session() as session:
            if not LeaseRepository(session).take(LEASE, self._holder, self._ttl):
                return False
        with self._database.session() as session:
            jobs = self._jobs(session)
            lost, late = jobs.expire_leases() + jobs.gangs.expire(), jobs.expire_waiting()
        for job_id in lost:
            log.warning("lease ran out", job_id=job_id)
        for job_id in late:
            log.warning("waited too long", job_id=job_id)
        self._releases.round()
        self._send()
        if self._clock() - self._swept_at >= self._sweep_every_s:
            self._swept_at = self._clock()
            self.purge()
            self._clear_store()
        return True

    def _jobs(self, session: Session) -> ReconcileRepository:
        return ReconcileRepository(session, retry_backoff_s=self._settings.retry_backoff_s)

    def release(self) -> None:
        """Gives the lease back, so that another can go on at once."""
        with self._database.session() as session:
            LeaseRepository(session).release(LEASE, self._holder)

    def _send(self) -> None:
        """Sends the messages that wait. A broker that does not answer is left alone until the next round."""
        try:
            with self._database.read() as session:
                pending = OutboxRepository(session).pending()
            for message in pending:
                self._pulse()
                self._queue.send(message.job_id, message.attempt, queue=message.queue, priority=message.priority)
                with self._database.session() as session:
                    OutboxRepository(session).mark_sent(message)
            with self._database.read() as session:
                unsent = self._jobs(session).unsent(self._settings.resend_after_s)
            for wake_up in unsent:
                self._pulse()
                self._queue.send(wake_up.job_id, wake_up.attempt, queue=wake_up.queue, priority=wake_up.priority)
                with self._database.session() as session:
                    self._jobs(session).mark_sent(wake_up.job_id)
                log.info("sent again", job_id=wake_up.job_id)
        except Unavailable as error:
            log.warning("not sent", why=error.detail)

    def purge(self) -> None:
        """Removes records that are older than the settings keep them."""
        settings = self._settings
        with self._database.session() as session:
            WorkerRepository(session).purge()
            self._jobs(session).gangs.purge()
        self._releases.purge()
        self._purge_all(lambda records: records.purge_idempotency_keys(settings.idempotency_ttl_s))
        if settings.audit_retention_s:
            self._purge_all(lambda records: records.purge_audit(settings.audit_retention_s))
        if settings.event_retention_s:
            self._purge_jobs("events", settings.event_retention_s, RetentionRepository.purge_events)
        if settings.metric_retention_s:
            self._purge_jobs("metric points", settings.metric_retention_s, RetentionRepository.purge_metric_points)

    def _clear_store(self) -> None:
        try:
            self.sweep()
        except Unavailable as error:  # of the store or the database: the next sweep has it all
            log.warning("the artifact store is not swept", why=error.detail)

    def _purge_all(self, purge: Callable[[RetentionRepository], bool]) -> None:
        more = True
        while more:
            self._pulse()
            with self._database.session() as session:
                more = purge(RetentionRepository(session))

    def _purge_jobs(self, what: str, older_than_s: float, purge: PurgeJobs) -> None:
        """Purges the jobs that ended that long ago, each once in the life of this process."""
        while True:
            self._pulse()
            with self._database.read() as session:
                ended = RetentionRepository(session).ended_jobs(older_than_s, self._purged.get(what, (0.0, "")))
            if not ended:
                return
            with self._database.session() as session:
                purge(RetentionRepository(session), [job_id for _, job_id in ended])
            self._purged[what] = ended[-1]

    def sweep(self) -> None:
        """Removes what no row needs and is older than the grace. Raises Unavailable."""
        self._sweeper.sweep()


def run(reconciler: Reconciler, stopped: threading.Event, every_s: float) -> None:
    """Rounds until `stopped`; an outage of the database is waited for."""
    failures = 0
    while not stopped.is_set():
        pulse()
        try:
            reconciler.round()
            failures = 0
        except Unavailable as error:
            failures += 1
            log.warning("the database does not answer", why=error.detail, times=failures)
        except Exception:
            failures += 1
            log.exception("a round failed")
        stopped.wait(every_s * min(2**failures, 8))


def main() -> None:
    settings = Settings()
    configure(settings.log_level)
    only_for_us(*settings.broker_directories)
    database = Database(make_engine(settings))
    queue = make_queue(settings)
    reconciler = Reconciler(settings, database, queue, open_storage(settings), pulse=pulse)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    log.info("started")
    run(reconciler, stopped, settings.reconcile_s)
    try:
        reconciler.release()
    except Unavailable:
        pass
    database.close()


if __name__ == "__main__":
    main()
