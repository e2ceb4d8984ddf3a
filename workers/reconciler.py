"""Makes the registry, the broker and the disk agree: a small process of its own, `python -m workers.reconciler`.

Any number may run; a lease in SQL lets one work at a time. It needs no broker to decide, and no Celery. Each round:

    leases that ran out      the attempt is lost, its job queued again (or failed, when its attempts are spent)
    waiting limits           jobs that no worker took in time fail
    releases                 go on, or back when a guard is broken (`workers/release_keeper.py`)
    messages                 what a submit could not send; jobs that nobody took, again
    disk, now and then       directories and checkpoints that no row needs, once they are older than a grace
    records, now and then    stored responses, events, metric points and audit entries that are older than the settings
                             keep them, and workers that died
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy.orm import Session

from app.artifact_store import open_storage
from app.config import Settings
from app.errors import NotFound, Unavailable
from app.jobs.state import JobState
from app.log import configure
from app.private_files import only_for_us
from app.process import pulse
from app.queue import CeleryQueue, Queue
from app.registry.artifacts import ArtifactRepository
from app.registry.db import Database, make_engine, revision_state
from app.registry.feedback import FeedbackRepository
from app.registry.jobs.outbox import OutboxRepository
from app.registry.jobs.reconcile import ReconcileRepository
from app.registry.leases import LeaseRepository
from app.registry.purge import RetentionRepository
from app.registry.tables import Job
from app.registry.workers import WorkerRepository
from app.storage import Storage
from workers.attempt.attempt_files import clear
from workers.release_keeper import ReleaseKeeper

log = structlog.get_logger("reconciler")

LEASE = "reconciler"
KEPT_DAYS = 30.0
"""Labels that come back are kept for so long where the model's own setting says nothing."""
_CHECKPOINT = re.compile(r"model\.ckpt-\d+(?=\.)")


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
        self._settings, self._database, self._queue, self._storage = settings, database, queue, storage
        self._holder = holder or f"{socket.gethostname()}:{os.getpid()}"
        self._releases = ReleaseKeeper(database)
        self._ttl = max(5.0, 5 * settings.reconcile_s)
        self._sweep_every_s = min(300.0, settings.orphan_grace_s / 2)
        self._swept_at = float("-inf")
        self._fits = False
        self._purged: dict[str, tuple[float, str]] = {}  # what → end and id of the last job that was purged of it
        self._clean: dict[str, float] = {}  # attempt directory → its time of change when nothing was to be removed

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
            self._purge_kept()
            self.sweep()
        except Unavailable as error:  # of the store or the database: the next sweep has it all
            log.warning("the artifact store is not swept", why=error.detail)

    def _purge_kept(self) -> None:
        """Removes kept requests that are over their days or bytes, and files that no row points to."""
        with self._database.session() as session:
            doomed = FeedbackRepository(session).purge(KEPT_DAYS)
        old = self._old("kept", 1, time.time())
        with self._database.read() as session:
            doomed += sorted(old.keys() - FeedbackRepository(session).known_files(old))
        for key in doomed:
            self._storage.remove(key)

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
        """Removes what no row needs and is older than the grace."""
        now = time.time()
        attempts = self._old("jobs", 2, now)
        others = [key for prefix in ("datasets", "exports", "predictions") for key in self._old(prefix, 1, now)]
        with self._database.read() as session:
            unreferenced = ArtifactRepository(session).unreferenced([*attempts, *others])
        # A long upload or export writes into its directory, and has a row only at its end.
        orphans = [key for key in unreferenced if self._is_quiet(key, now)]
        for key in orphans:
            self._pulse()
            self._storage.remove(key)
            log.info("removed an orphan", key=key)
        for key in self._old("uploads", 1, now):  # nobody made a data set of it
            self._storage.remove(key)
        for key in attempts.keys() - orphans:
            self._sweep_attempt(key, attempts[key])

    def _old(self, prefix: str, depth: int, now: float) -> dict[str, float]:
        """Keys that are older than the grace, with their time of change."""
        old = {}
        for key, changed in self._storage.found(prefix, depth):
            self._pulse()
            if now - changed > self._settings.orphan_grace_s:
                old[key] = changed
        return old

    def _is_quiet(self, key: str, now: float) -> bool:
        self._pulse()
        try:
            return self._storage.quiet(key, now) > self._settings.orphan_grace_s
        except NotFound:
            return False

    def _sweep_attempt(self, key: str, changed: float) -> None:
        """Removes checkpoints without a row, whole or half written, and temporary files, of an attempt that is over."""
        if self._clean.get(key) == changed:
            return
        self._pulse()
        _, job_id, number = key.split("/")
        names = {match[0] for name in self._storage.names(key) if (match := _CHECKPOINT.match(name))}
        prefixes = {f"{key}/{name}" for name in names}
        with self._database.read() as session:
            job = session.get(Job, job_id)
            if job is not None and job.state == JobState.RUNNING and job.attempt == int(number):
                return
            stray = ArtifactRepository(session).stray_checkpoints(job_id, int(number), prefixes)
        for prefix in stray:
            self._storage.remove_files(prefix)
            log.info("removed a checkpoint that was never committed", key=prefix)
        directory = self._storage.path(key)
        for left in ("scratch", "predictions", *(path.name for path in directory.glob("worker-*"))):
            clear(directory / left)
        for file in directory.glob("*.tmp-*"):  # a process died between writing and renaming it
            file.unlink(missing_ok=True)
        self._clean[key] = changed


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
    queue = CeleryQueue(settings.broker, settings.broker_queue_type)
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
