"""What is placed on Ray, and when its place is given back: the registry is real, Ray is a table of places."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from app.config import Settings
from app.registry.db import Database, make_engine, now
from app.registry.jobs.placing import WaitingJob
from app.registry.jobs.repository import JobRepository
from app.registry.tables import Job
from app.registry.workers import RAY, WorkerReport, WorkerRepository
from tests import databases
from tests.registry.conftest import make_job
from tests.repositories import attempts
from workers.on_ray.placer import Capacity, Placer, RayPlace, RayUnreachable


class Nodes:
    """A Ray of so many devices, which reserves a place as a whole, in the order in which they were asked for.

    Attributes:
        asked: the devices of each place; `seats`: places whose seats run.
    """

    def __init__(self, devices: int) -> None:
        self.devices, self.down = devices, False
        self.asked: dict[tuple[str, int, int], int] = {}
        self.seats: list[str] = []

    def places(self) -> list[RayPlace]:
        if self.down:
            raise RayUnreachable("It is down.")
        free, found = self.devices, []
        for (job_id, attempt, seats), needs in self.asked.items():
            found.append(RayPlace(job_id, attempt, seats, needs <= free))
            free -= needs if needs <= free else 0
        return found

    def ask(self, job: WaitingJob) -> None:
        assert (job.id, job.attempt, job.seats) not in self.asked
        self.asked[job.id, job.attempt, job.seats] = job.seats * job.devices

    def start(self, place: RayPlace, job: WaitingJob) -> None:
        assert place.given
        self.seats.append(place.job_id)

    def has_seats(self, place: RayPlace) -> bool:
        return place.job_id in self.seats

    def give_back(self, place: RayPlace) -> None:
        del self.asked[place.job_id, place.attempt, place.seats]
        self.seats = [job_id for job_id in self.seats if job_id != place.job_id]

    def capacity(self) -> Capacity:
        return Capacity(2, self.devices // 2)


class Cluster:
    """A placer, its Ray, its registry and its clock."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database, self.time = settings, database, 0.0
        self.nodes = Nodes(4)
        self.placer = self.another()

    def another(self) -> Placer:
        return Placer(self.settings, self.database, self.nodes, clock=lambda: self.time)

    def submit(self, workers: int = 1, devices: int = 1, **changes: object) -> str:
        with self.database.session() as session:
            return make_job(session, spec={"resources": {"workers": workers, "devices": devices}}, **changes).id

    def settle(self) -> list[str]:
        """Rounds until there is nothing to do; the jobs that Ray was asked for."""
        for _ in range(50):
            if not self.placer.round():
                return [job_id for job_id, _, _ in self.nodes.asked]
        raise AssertionError("the placer does not come to rest")

    def claim(self, job_id: str) -> None:
        with self.database.session() as session:
            assert attempts(session).claim(job_id, JobRepository(session).get(job_id).attempt, "a", 60.0, devices=8)

    def succeed(self, job_id: str) -> None:
        with self.database.session() as session:
            assert attempts(session).succeed(job_id, JobRepository(session).get(job_id).attempt, {})

    def lose(self, job_id: str) -> None:
        with self.database.session() as session:
            attempts(session).lose(job_id, JobRepository(session).get(job_id).attempt, "It died.")
            session.execute(update(Job).values(not_before=now() - 1))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        database_url="",
        executor="ray",
        ray_address="auto",
        ray_queues="default,few",
        queue_caps="few=1",
    )


@pytest.fixture
def cluster(settings: Settings) -> Iterator[Cluster]:
    databases.migrated(settings.sql_url).close()
    database = Database(make_engine(settings))
    made = Cluster(settings, database)
    yield made
    made.placer.leave()
    database.close()


def test_jobs_are_placed_in_order_as_far_as_there_is_room(cluster: Cluster) -> None:
    jobs = [cluster.submit() for _ in range(6)]
    urgent = cluster.submit(priority=1)
    cluster.submit(queue="elsewhere")
    # four devices: the first four run, and the next one in order is asked for
    assert cluster.settle() == [urgent, *jobs[:4]]
    assert cluster.nodes.seats == [urgent, *jobs[:3]]
    # what comes now goes before it
    late = cluster.submit(priority=0)
    assert cluster.settle() == [urgent, *jobs[:3], late]


def test_place_is_kept_while_the_attempt_runs_and_given_back_after_it(cluster: Cluster) -> None:
    job = cluster.submit()
    cluster.settle()
    cluster.claim(job)
    cluster.time += 1e6
    assert cluster.settle() == [job]
    cluster.succeed(job)
    assert cluster.settle() == [job]  # its seat has something to say yet
    cluster.nodes.seats.clear()
    assert cluster.settle() == []


def test_place_of_a_seat_that_hangs_is_given_back_after_the_grace(cluster: Cluster) -> None:
    job = cluster.submit()
    cluster.settle()
    cluster.claim(job)
    cluster.succeed(job)
    cluster.settle()
    cluster.time += cluster.settings.grace_s + cluster.settings.lease_s + 1
    assert cluster.settle() == []


def test_lost_attempt_has_a_new_place_at_once(cluster: Cluster) -> None:
    job = cluster.submit()
    cluster.settle()
    cluster.claim(job)
    cluster.nodes.seats.clear()
    cluster.lose(job)
    cluster.settle()
    assert list(cluster.nodes.asked) == [(job, 1, 1)]
    assert cluster.nodes.seats == [job]


def test_seats_that_end_without_the_job_are_placed_again_after_a_pause(cluster: Cluster) -> None:
    job = cluster.submit()
    cluster.settle()
    cluster.nodes.seats.clear()
    assert cluster.settle() == []
    cluster.time += cluster.settings.resend_after_s + 0.1
    assert cluster.settle() == [job]


def test_cancelled_while_it_waits_is_not_asked_for_any_more(cluster: Cluster) -> None:
    cluster.nodes.devices = 0
    job = cluster.submit()
    assert cluster.settle() == [job]
    with cluster.database.session() as session:
        JobRepository(session).request_cancel(job)
    assert cluster.settle() == []


def test_another_placer_goes_on_with_what_is_there(cluster: Cluster) -> None:
    running, waiting = cluster.submit(), cluster.submit(devices=4)
    cluster.settle()
    cluster.claim(running)
    other = cluster.another()
    cluster.placer = other
    assert cluster.settle() == [running, waiting]


def test_later_jobs_of_the_queue_wait_for_a_gang_and_go_first_when_it_found_no_place_in_time(cluster: Cluster) -> None:
    first = cluster.submit()
    cluster.settle()
    cluster.claim(first)
    gang, other_gang, single = cluster.submit(workers=4), cluster.submit(workers=2), cluster.submit()
    elsewhere = cluster.submit(queue="few")
    assert cluster.settle() == [first, gang, elsewhere]
    cluster.time += cluster.settings.gang_timeout_s + 1
    # the next gang has its place then; while it forms, jobs of one worker still come after it
    assert cluster.settle() == [first, elsewhere, other_gang]
    for job in (other_gang, elsewhere):
        cluster.claim(job)
    assert cluster.settle() == [first, elsewhere, other_gang, single]
    with cluster.database.read() as session:
        assert session.get_one(Job, gang).forming_after > 0


def test_no_more_of_a_queue_is_placed_than_may_run(cluster: Cluster) -> None:
    one, two = cluster.submit(queue="few"), cluster.submit(queue="few")
    assert cluster.settle() == [one]
    cluster.claim(one)
    assert cluster.settle() == [one]
    cluster.succeed(one)
    assert two in cluster.settle()


def test_one_placer_works_and_ray_that_is_down_is_not_reported(cluster: Cluster) -> None:
    job = cluster.submit(devices=2)
    with cluster.database.read() as session:
        assert WorkerRepository(session).queues_without_worker() == {"default:2-devices": 1}
    cluster.settle()
    other = cluster.another()
    other._name = f"{RAY}other"
    assert not other.round()
    cluster.placer._presence.report()
    cluster.nodes.down = True
    with pytest.raises(RayUnreachable):
        cluster.placer.round()
    assert not cluster.placer._presence.report()
    with cluster.database.read() as session:
        workers = WorkerRepository(session)
        (listed,) = workers.list()
        assert workers.ray_answers()
        assert workers.queues_without_worker() == {}
    queues = ("default:2-devices", "few:2-devices", "default", "few")
    assert listed.report == WorkerReport(cluster.placer._name, queues, 2, ("cpu", "cpu"), listed.report.version)
    assert cluster.nodes.seats == [job]
    cluster.placer.leave()
    with cluster.database.read() as session:
        assert not WorkerRepository(session).ray_answers()
