"""A worker's seat in a gang: it is kept while the other seats fill, and given back when they do not."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from sqlalchemy.orm import Session

from app.config import Settings
from app.errors import Unavailable
from app.registry.db import Database
from app.registry.jobs.attempts import AttemptRepository, Claim
from app.registry.jobs.gangs import GangRepository, SeatKey

log = structlog.get_logger("worker")

_LOOK_S = 0.2
_PAUSES = 2.0


class HeldSeat:
    """One seat of one attempt, held by this worker."""

    def __init__(self, settings: Settings, database: Database, key: SeatKey) -> None:
        self.key = key
        self._settings, self._database = settings, database

    def wait_for_others(self, draining: Callable[[], bool]) -> Claim | None:
        """The right to take part in the attempt, once all seats are held; None when that did not happen in time, the
        job was cancelled, or the worker is to stop."""
        until = time.monotonic() + self._settings.gang_timeout_s
        log.info("waits for the other workers of the job", job_id=self.key.job_id, seat=self.key.number)
        while True:
            try:
                with self._database.session() as session:
                    gangs = self._gangs(session)
                    if not gangs.keep_seat(self.key, self._settings.lease_s):
                        return None
                    claim = gangs.member(self.key)
                    if claim is not None:
                        return claim
                    late = time.monotonic() > until
                    if (late or draining()) and gangs.give_back(self.key, pause_s(self._settings) if late else 0.0):
                        log.info("the other workers did not come; the seat is given back", job_id=self.key.job_id)
                        return None
            except Unavailable:
                log.warning("the registry does not answer", job_id=self.key.job_id)
                if time.monotonic() > until:
                    return None  # the lease runs out by itself
            time.sleep(_LOOK_S)

    def leave(self) -> None:
        """Gives the seat back at the end."""
        try:
            with self._database.session() as session:
                self._gangs(session).leave(self.key)
        except Unavailable:
            log.warning("the seat could not be given back; its lease will run out", job_id=self.key.job_id)

    def _gangs(self, session: Session) -> GangRepository:
        attempts = AttemptRepository(session, retry_backoff_s=self._settings.retry_backoff_s)
        return GangRepository(session, attempts)


def pause_s(settings: Settings) -> float:
    """For how long a job whose gang did not fill lets others form first."""
    return _PAUSES * settings.gang_timeout_s


def free_address(settings: Settings) -> str:
    """`host:port` for TensorFlow's server of this worker: a port that is free now, on the address that the setting
    names, else on the interface that leads to the broker or the database."""
    host = settings.worker_address or _interface(settings)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _interface(settings: Settings) -> str:
    for url in (settings.broker, settings.database_url):
        parts = urlsplit(url)
        if parts.hostname is None:
            continue
        # No packet is sent: connecting a datagram socket only chooses the route.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((parts.hostname, parts.port or 9))
            except OSError:
                continue
            return str(probe.getsockname()[0])
    return "127.0.0.1"
