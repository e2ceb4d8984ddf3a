"""Readiness follows the database and its revision, not the broker."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from app.readiness import _Found
from app.registry.db import HEAD
from app.registry.workers import WorkerReport, WorkerRepository
from app.version import __version__ as VERSION
from tests.api.conftest import Api
from tests.repositories import attempts
from tests.waiting import wait_for


@pytest.mark.parametrize(("revision", "words"), [("0000", "not been migrated"), ("9999", "newer release")])
def test_database_of_another_revision_is_not_ready(api: Api, revision: str, words: str) -> None:
    database = api.service.database
    assert api.http.get("/readyz").status_code == 200
    for number in (revision, HEAD):
        with database.session() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :number"), {"number": number})
        expected = 200 if number == HEAD else 503
        wait_for(lambda expected=expected: api.http.get("/readyz").status_code == expected)  # type: ignore[misc]
        if number != HEAD:
            answer = api.http.get("/readyz")
            assert words in answer.json()["detail"]
            assert "retry-after" in answer.headers
    assert api.http.get("/healthz").status_code == 200


def test_queue_without_a_living_worker_is_told(api: Api) -> None:
    database = api.service.database
    assert api.http.get("/readyz").json() == {
        "status": "ok",
        "database": "ok",
        "broker": "ok",
        "queues_without_worker": [],
        "problems": [],
    }
    job_id = api.submit()
    wait_for(lambda: api.http.get("/readyz").json()["status"] != "ok")
    answer = api.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "degraded",
        "database": "ok",
        "broker": "ok",
        "queues_without_worker": ["default"],
        "problems": [
            "No living worker serves the queue default, where a job waits: start one with QUEUES=default.",
        ],
    }
    with database.session() as session:
        WorkerRepository(session).report(WorkerReport("host:7", ("default",), 1, ("gpu:0",), VERSION))
    wait_for(lambda: api.http.get("/readyz").json()["status"] == "ok")
    with database.session() as session:
        assert attempts(session).claim(job_id, 0, "host:7", 60.0) is not None
    (worker,) = api.http.get("/v1/workers").json()["workers"]
    assert worker.pop("started_at") == worker.pop("seen_at")
    assert worker == {
        "name": "host:7",
        "alive": True,
        "queues": ["default"],
        "slots": 1,
        "devices": ["gpu:0"],
        "jobs": [job_id],
        "version": VERSION,
    }


def test_workers_need_the_scope_read(api: Api) -> None:
    assert api.http.get("/v1/workers", headers=api.token("predict")).status_code == 403
    assert api.http.get("/v1/workers", headers=api.token("read")).json() == {"workers": []}


def test_public_paths_are_answered_while_all_worker_threads_and_the_database_hang(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand requests, and one that needs a worker thread: none of them waits for a thread or for the database."""
    go_on = threading.Event()
    monkeypatch.setattr("app.readiness._ALL_S", 0.0)
    monkeypatch.setattr("app.readiness._look_at_database", lambda database: go_on.wait(60) and _Found({}, ray=False))
    monkeypatch.setattr(api.queue, "ping", lambda: go_on.wait(60))
    wait_for(lambda: api.http.get("/readyz").status_code == 503)  # after 3 s without an answer
    paths = ["/readyz", "/healthz", "/docs", "/openapi.json", "/static/swagger-ui-bundle.js", "/"]
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda i: api.http.get(paths[i % len(paths)]).status_code, range(1000)))
            assert api.http.get("/v1/jobs").status_code == 200  # the client waits for half as long as those that hang
    finally:
        go_on.set()
    assert answers.count(503) == len(range(0, 1000, len(paths)))
    assert set(answers) == {200, 503}
    wait_for(lambda: api.http.get("/readyz").status_code == 200)
