from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.registry.db import now
from app.registry.tables import Job, Worker
from app.registry.workers import ALIVE_S, KEEP_S, WorkerReport, WorkerRepository
from tests.registry.conftest import make_claim, make_job


def report(name: str = "host:1", *queues: str) -> WorkerReport:
    return WorkerReport(name, queues or ("default",), 1, ("any",), "0.1.0")


def silent(session: Session, name: str, seconds: float) -> None:
    session.execute(update(Worker).where(Worker.name == name).values(seen_at=now() - seconds))


def test_workers_are_listed_by_name_with_their_jobs(session: Session) -> None:
    workers = WorkerRepository(session)
    workers.report(report("worker"))
    workers.report(report("other"))
    claim = make_claim(session)  # by "worker"
    found = workers.list()
    assert [(row.report.name, row.alive, row.job_ids) for row in found] == [
        ("other", True, ()),
        ("worker", True, (claim.job_id,)),
    ]


def test_report_renews_the_last_one_and_a_new_process_starts_afresh(session: Session) -> None:
    workers = WorkerRepository(session)
    workers.report(report(), started=True)
    session.execute(update(Worker).values(started_at=1.0, seen_at=1.0))
    workers.report(report("host:1", "gpu"))
    (found,) = workers.list()
    assert (found.report.queues, found.started_at, found.alive) == (("gpu",), 1.0, True)
    workers.report(report(), started=True)
    (found,) = workers.list()
    assert found.started_at > 1.0


def test_silent_worker_is_dead_then_gone(session: Session) -> None:
    workers = WorkerRepository(session)
    workers.report(report())
    silent(session, "host:1", ALIVE_S - 1)
    assert [row.alive for row in workers.list()] == [True]
    silent(session, "host:1", ALIVE_S + 1)
    assert [row.alive for row in workers.list()] == [False]
    assert workers.purge() == 0
    silent(session, "host:1", KEEP_S + 1)
    assert workers.purge() == 1
    assert workers.list() == []


def test_queues_whose_jobs_wait_without_a_living_worker_are_told(session: Session) -> None:
    workers = WorkerRepository(session)
    assert workers.queues_without_worker() == {}
    for queue in ("gpu", "default", "gpu"):
        make_job(session, queue=queue)
    assert workers.queues_without_worker() == {"default": 1, "gpu": 2}
    workers.report(report("host:1", "default", "night"))
    assert workers.queues_without_worker() == {"gpu": 2}
    workers.report(report("host:2", "gpu"))
    assert workers.queues_without_worker() == {}
    silent(session, "host:1", ALIVE_S + 1)
    assert workers.queues_without_worker() == {"default": 1}


def test_job_that_runs_or_is_in_back_off_waits_for_no_worker(session: Session) -> None:
    make_claim(session)
    later = make_job(session)
    session.execute(update(Job).where(Job.id == later.id).values(not_before=now() + 60))
    assert WorkerRepository(session).queues_without_worker() == {}
