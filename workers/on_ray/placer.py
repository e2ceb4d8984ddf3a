"""Finds waiting jobs a place on Ray, and gives the places back. SQL is the truth: each round reads the registry and Ray
anew, so a placer may die at any time, and a submission may be lost or come twice.

A job's place is a placement group named after the job and the attempt that it is for: a bundle of devices for each
worker. Ray reserves it as a whole or not at all. On each bundle runs a seat (`ray_seat.py`), which claims the job in
SQL as a Celery worker does.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from app.config import Settings
from app.errors import ServiceError
from app.jobs.routes import routes
from app.registry.db import Database, revision_state
from app.registry.jobs.attempts import AttemptRepository, jobs_running
from app.registry.jobs.gangs import GangRepository, SeatKey
from app.registry.jobs.placing import PlacingRepository, WaitingJob
from app.registry.leases import LeaseRepository
from app.registry.workers import RAY, WorkerReport
from app.version import __version__
from workers.worker.gang import pause_s
from workers.worker.presence import Presence

log = structlog.get_logger("on_ray")

LEASE = "ray placer"
_TTL_S = 15.0
_ROUND_S = 0.5
_BUSY_S = 0.1
"""Between two rounds when the last one changed something: it may be done at once."""


@dataclass(frozen=True)
class RayPlace:
    """A placement group. `attempt`: the job's attempt counter when the place was asked for; `seats`: its bundles;
    `given`: Ray has it."""

    job_id: str
    attempt: int
    seats: int
    given: bool = False


@dataclass(frozen=True)
class Capacity:
    """Living nodes with devices, and the most devices of one."""

    nodes: int
    devices: int


class RayUnreachable(Exception):
    """Ray does not answer."""


class PlacesOfRay(Protocol):
    """What the placer needs of Ray. Each method raises RayUnreachable."""

    def places(self) -> list[RayPlace]:
        """Ours, whoever asked for them."""

    def ask(self, job: WaitingJob) -> None:
        """Asks for a place; that there is one already is no error."""

    def start(self, place: RayPlace, job: WaitingJob) -> None:
        """Starts the seats of a place that is given, those that do not run already."""

    def has_seats(self, place: RayPlace) -> bool:
        """Whether one of them still runs."""

    def give_back(self, place: RayPlace) -> None:
        """Ends what runs there."""

    def capacity(self) -> Capacity:
        """What there is, in use or not."""


class Placer:
    """One round after the other; safe to run beside others, of which one works at a time."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        ray: PlacesOfRay,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._database, self._ray, self._clock = settings, database, ray, clock
        self._queues = settings.ray_queue_names
        self._name = f"{RAY}{socket.gethostname()}:{os.getpid()}"
        self._capacity = Capacity(0, 0)
        self._rounds = 0
        self._started: set[RayPlace] = set()
        self._since: dict[tuple[RayPlace, str], float] = {}
        self._not_before: dict[str, float] = {}
        self._presence = Presence(database, self._describe, lambda: self._rounds)

    def leave(self) -> None:
        """In order: another placer takes over at once. What runs on Ray goes on."""
        self._presence.leave()
        try:
            with self._database.session() as session:
                LeaseRepository(session).release(LEASE, self._name)
        except ServiceError:
            log.warning("the lease could not be given back; it runs out")

    def round(self) -> bool:
        """Does what is due; whether that was anything.

        Raises:
            RayUnreachable: Ray does not answer.
            Unavailable: the database does not answer.
        """
        if revision_state(self._database.engine) != "ok":
            return False
        with self._database.session() as session:
            if not LeaseRepository(session).take(LEASE, self._name, _TTL_S):
                return False
        places = self._ray.places()
        self._capacity = self._ray.capacity()
        with self._database.read() as session:
            found = PlacingRepository(session)
            waiting = found.waiting(self._queues)
            needed = {place: found.needs(place.job_id, place.attempt) for place in places}
            room = {name: cap - jobs_running(session, name) for name, cap in self._settings.queue_caps_by_name.items()}
        changed = False
        for place, job in needed.items():
            changed |= self._look_after(place, job)
        changed |= self._ask(waiting, places, room)
        self._forget(places)
        self._rounds += 1
        if self._rounds == 1:
            self._presence.start()  # reports for as long as rounds reach Ray
        return changed

    def _look_after(self, place: RayPlace, job: WaitingJob | None) -> bool:
        """Starts the seats of a place, or gives it back when it is not needed any more."""
        if not place.given:
            return False
        if job is None:
            late = self._for_s(place, "over") > self._settings.grace_s + self._settings.lease_s
            # what ends there has something to say yet
            if not late and self._ray.has_seats(place):
                return False
            self._ray.give_back(place)
            return True
        if job.running:
            return False
        if place not in self._started:
            self._started.add(place)
            self._ray.start(place, job)
            return True
        if self._ray.has_seats(place):
            return False
        log.warning("the seats ended without the job; it is placed again", job_id=job.id)
        self._not_before[job.id] = self._clock() + self._settings.resend_after_s
        self._ray.give_back(place)
        return True

    def _ask(self, waiting: list[WaitingJob], places: Iterable[RayPlace], room: dict[str, int]) -> bool:
        """Asks for the places of the jobs whose turn it is, and takes requests back of those whose turn it is not."""
        by_job = {(place.job_id, place.attempt): place for place in places}
        wanted = self._turns(waiting, by_job, room)
        changed = False
        for place in by_job.values():
            if not place.given and (place.job_id, place.attempt) not in {(job.id, job.attempt) for job in wanted}:
                self._ray.give_back(place)
                changed = True
        for job in wanted:
            asked = by_job.get((job.id, job.attempt))
            if asked is None:
                self._ray.ask(job)
                changed = True
            elif job.seats > 1 and self._for_s(asked, "asked") > self._settings.gang_timeout_s:
                self._let_others_first(asked, job)
                changed = True
        return changed

    def _turns(
        self, waiting: list[WaitingJob], by_job: dict[tuple[str, int], RayPlace], room: dict[str, int]
    ) -> list[WaitingJob]:
        """Of each queue the first gang, and the first job of one worker for each number of devices; not those that
        come after a gang, or it would never find as many free at once."""
        now = self._clock()
        held: set[object] = set()
        wanted: list[WaitingJob] = []
        for job in waiting:
            kind = job.queue if job.seats > 1 else (job.queue, job.devices)
            place = by_job.get((job.id, job.attempt))
            if place is not None and place.given:
                if job.queue in room:
                    room[job.queue] -= 1
                if job.seats > 1:
                    held.add(kind)  # it forms; the next one would find its seats closed
                continue
            full = job.queue in room and room[job.queue] <= 0
            if full or kind in held or (job.queue in held and job.seats == 1) or self._not_before.get(job.id, 0) > now:
                continue
            held.add(kind)
            wanted.append(job)
        return wanted

    def _let_others_first(self, place: RayPlace, job: WaitingJob) -> None:
        settings = self._settings
        with self._database.session() as session:
            gangs = GangRepository(session, AttemptRepository(session, retry_backoff_s=settings.retry_backoff_s))
            gangs.give_back(SeatKey(job.id, job.attempt + 1, 0), pause_s(settings))
        log.info("Ray had no place in time; other jobs go first for a while", job_id=job.id)
        self._ray.give_back(place)

    def _for_s(self, place: RayPlace, what: str) -> float:
        return self._clock() - self._since.setdefault((place, what), self._clock())

    def _forget(self, places: list[RayPlace]) -> None:
        now = self._clock()
        self._started &= set(places)
        self._since = {key: since for key, since in self._since.items() if key[0] in places}
        self._not_before = {job: until for job, until in self._not_before.items() if until > now}

    def _describe(self) -> WorkerReport:
        """Ray as one worker: `slots` nodes, each with so many devices at most."""
        queues = self._queues
        if not queues:
            with self._database.read() as session:
                queues = PlacingRepository(session).queues_that_wait()
        device = (self._settings.ray_device.lower(),)
        served = tuple(routes(queues, self._capacity.devices))
        return WorkerReport(self._name, served, self._capacity.nodes, device * self._capacity.devices, __version__)


def run(placer: Placer, stopped: threading.Event, pulse: Callable[[], None]) -> None:
    """Rounds until `stopped`; outages of Ray and of the database are waited for."""
    while not stopped.is_set():
        pulse()
        pause = _ROUND_S
        try:
            if placer.round():
                pause = _BUSY_S
        except (RayUnreachable, ServiceError) as error:
            log.warning("jobs are not placed for now", why=str(error))
            pause = 4 * _ROUND_S
        except Exception:
            log.exception("a round failed")
            pause = 4 * _ROUND_S
        stopped.wait(pause)
