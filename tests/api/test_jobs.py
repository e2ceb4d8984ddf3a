"""Submitting, listing, cancelling and retrying jobs over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from app.config import Settings
from app.errors import Unavailable
from app.registry.jobs.gangs import GangRepository
from app.registry.jobs.outbox import OutboxRepository
from tests.api.conftest import Api, run_api, train_job
from tests.repositories import attempts


@pytest.fixture
def api(settings: Settings, database: object, database_url: str) -> Iterator[Api]:
    """On SQLite, and on PostgreSQL where it answers."""
    yield from run_api(settings.model_copy(update={"predictor": "none", "database_url": database_url}))


def test_submit_answers_202_with_location_and_rings_the_broker(api: Api) -> None:
    dataset = api.dataset()

    answer = api.http.post("/v1/jobs", json=train_job(dataset))

    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert int(answer.headers["retry-after"]) >= 1
    assert (job["state"], job["attempt"], job["model"]) == ("QUEUED", 0, "things")
    assert job["spec"]["estimator"]["args"]["n_classes"] == 2
    assert api.queue.sent == [(job["id"], 0)]
    assert api.http.get(answer.headers["location"]).json()["spec"] == job["spec"]


def test_submit_is_taken_while_the_broker_is_down_and_stays_in_the_outbox(api: Api) -> None:
    api.queue.up = False

    job_id = api.submit()

    with api.service.database.read() as session:
        assert [row.job_id for row in OutboxRepository(session).pending()] == [job_id]
    api.queue.up = True
    api.service.dispatch.send(job_id)
    assert api.queue.sent == [(job_id, 0)]
    with api.service.database.read() as session:
        assert OutboxRepository(session).pending() == []


def test_dry_run_stores_nothing(api: Api) -> None:
    answer = api.http.post("/v1/jobs?dry_run=true", json=train_job(api.dataset()))

    assert answer.status_code == 200
    assert answer.json()["parameters"] > 0
    assert api.http.get("/v1/jobs").json()["jobs"] == []


def test_wrong_job_points_at_every_mistake_and_echoes_no_value(api: Api) -> None:
    body = train_job(api.dataset(), priority=77, model="<script>alert(1)</script>")

    answer = api.http.post("/v1/jobs", json=body)

    assert answer.status_code == 422
    assert {"/priority", "/model"} <= {error["pointer"] for error in answer.json()["errors"]}
    assert "script" not in answer.text
    assert "77" not in answer.text


def test_list_pages_and_filters(api: Api) -> None:
    ids = [api.submit(model=f"m{index % 2}") for index in range(5)]

    first = api.http.get("/v1/jobs", params={"page_size": 3}).json()
    second = api.http.get("/v1/jobs", params={"page_size": 3, "page_token": first["next_page_token"]}).json()

    assert [job["id"] for job in first["jobs"] + second["jobs"]] == ids[::-1]
    assert second["next_page_token"] is None
    assert [job["id"] for job in api.http.get("/v1/jobs?model=m1").json()["jobs"]] == [ids[3], ids[1]]
    assert api.http.get("/v1/jobs?state=RUNNING").json()["jobs"] == []
    assert api.http.get("/v1/jobs?state=SLEEPING").status_code == 422
    assert api.http.get("/v1/jobs?page_token=nonsense").status_code == 422


def test_cancel_then_retry_then_conflicts(api: Api) -> None:
    job_id = api.submit()

    assert api.http.post(f"/v1/jobs/{job_id}/retry").status_code == 409
    cancelled = api.http.post(f"/v1/jobs/{job_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "CANCELLED")
    again = api.http.post(f"/v1/jobs/{job_id}/cancel")
    assert again.status_code == 409
    assert "CANCELLED" in again.json()["detail"]
    retried = api.http.post(f"/v1/jobs/{job_id}/retry")
    assert (retried.status_code, retried.json()["state"]) == (202, "QUEUED")
    assert api.queue.sent == [(job_id, 0), (job_id, 0)]


def test_running_job_is_shown_as_cancelling_with_its_attempt(api: Api) -> None:
    job_id = api.submit()
    with api.service.database.session() as session:
        assert attempts(session).claim(job_id, 0, "worker-1", 60) is not None

    answer = api.http.post(f"/v1/jobs/{job_id}/cancel").json()

    assert answer["state"] == "CANCELLING"
    assert [(attempt["number"], attempt["state"]) for attempt in answer["attempts"]] == [(1, "RUNNING")]
    assert api.http.get("/v1/jobs?state=CANCELLING").json()["jobs"][0]["attempts"][0]["worker"] == "worker-1"


def test_seats_of_a_job_of_several_workers_are_shown(api: Api) -> None:
    body = train_job(api.dataset()) | {"resources": {"workers": 2}}
    job_id = api.http.post("/v1/jobs", json=body).json()["id"]

    def shown() -> tuple[str, int, list[tuple[int, str]]]:
        job = api.http.get(f"/v1/jobs/{job_id}").json()
        return job["state"], job["workers"], [(seat["number"], seat["worker"]) for seat in job["seats"]]

    def take(worker: str) -> None:
        with api.service.database.session() as session:
            gangs = GangRepository(session, attempts(session))
            assert gangs.take_seat(job_id, 0, worker, f"{worker}:1", 60.0) is not None

    assert shown() == ("QUEUED", 2, [])
    take("a")
    assert shown() == ("QUEUED", 2, [(0, "a")])
    take("b")
    assert shown() == ("RUNNING", 2, [(0, "a"), (1, "b")])
    api.http.post(f"/v1/jobs/{job_id}/cancel")
    with api.service.database.session() as session:
        assert attempts(session).cancelled(job_id, 1)
    assert shown() == ("CANCELLED", 2, [])


def test_same_key_same_body_is_one_job_though_sent_fifty_times_at_once(api: Api) -> None:
    body = train_job(api.dataset())
    headers = {"Idempotency-Key": "again"}
    answers = []

    def send() -> None:
        answers.append(api.http.post("/v1/jobs", json=body, headers=headers))

    threads = [threading.Thread(target=send) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.text for answer in answers if answer.status_code == 202}) == 1
    assert len(api.http.get("/v1/jobs").json()["jobs"]) == 1
    assert len(api.queue.sent) == 1
    repeated = api.http.post("/v1/jobs", json=body, headers=headers)
    assert repeated.headers["location"] == answers[0].headers.get("location", repeated.headers["location"])


def test_same_key_with_another_body_is_refused(api: Api) -> None:
    body = train_job(api.dataset())
    headers = {"Idempotency-Key": "again"}
    assert api.http.post("/v1/jobs", json=body, headers=headers).status_code == 202

    assert api.http.post("/v1/jobs", json=body | {"priority": 1}, headers=headers).status_code == 422


def test_queue_cap_answers_429_with_retry_after(api: Api) -> None:
    body = train_job(api.dataset())
    object.__setattr__(
        api.service.dispatch, "_settings", api.service.settings.model_copy(update={"max_queued_jobs": 2})
    )
    codes = [api.http.post("/v1/jobs", json=body).status_code for _ in range(3)]

    assert codes == [202, 202, 429]
    assert int(api.http.post("/v1/jobs", json=body).headers["retry-after"]) >= 1
    assert len(api.http.get("/v1/jobs").json()["jobs"]) == 2


def test_a_foreign_or_wrong_id_is_404_or_422(api: Api) -> None:
    assert api.http.get("/v1/jobs/job_00000000000000000000000000").status_code == 404
    for wrong in ("..", "%2e%2e", "%252e%252e", "..%5c", "x" * 300, "job_%00", "ｊob_00000000000000000000000000"):
        assert api.http.get(f"/v1/jobs/{wrong}").status_code in {404, 422}, wrong


def test_database_away_is_503_with_retry_after(api: Api) -> None:
    def broken(*arguments: object, **names: object) -> None:
        raise Unavailable("The database does not answer now. Try again.")

    api.service.database.read = broken  # type: ignore[method-assign, assignment]
    answer = api.http.get("/v1/jobs")

    assert answer.status_code == 503
    assert "retry-after" in answer.headers


def test_timings_are_shown_while_the_job_runs_and_after(api: Api) -> None:
    job_id = api.submit()
    with api.service.database.session() as session:
        assert attempts(session).claim(job_id, 0, "worker-1", 60)
        attempts(session).heartbeat(job_id, 1, 60, {"step": 1, "timings": {"claimed": 0.1}})
    assert api.http.get(f"/v1/jobs/{job_id}").json()["timings"] == {"claimed": 0.1}

    with api.service.database.session() as session:
        attempts(session).succeed(job_id, 1, {"timings": {"claimed": 0.1, "first_step": 0.5}})
    assert api.http.get(f"/v1/jobs/{job_id}").json()["timings"] == {"claimed": 0.1, "first_step": 0.5}


def test_jobs_are_found_by_what_people_call_them(api: Api) -> None:
    dataset = api.dataset()
    first = api.submit(display_name="Spring 100% baseline", tags=["spring", "base"])
    second = api.submit(estimator={"type": "LinearClassifier", "args": {}}, tags=["spring"], model="other")

    def found(**filters: str) -> tuple[list[str], int]:
        answer = api.http.get("/v1/jobs", params=filters)
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["jobs"]], answer.json()["total"]

    assert found() == ([second, first], 2)
    assert found(text="100% BASE") == ([first], 1)
    assert found(text="1_0%") == ([], 0)  # a wildcard of SQL is plain text
    assert found(text=second[:30]) == ([second], 1)
    assert found(text="linear") == found(estimator="LinearClassifier") == ([second], 1)
    assert found(tag="spring") == ([second, first], 2)
    assert found(tag="base", model="other") == ([], 0)
    assert found(dataset=dataset) == found(dataset="things") == ([second, first], 2)
    created = api.http.get(f"/v1/jobs/{second}").json()["created_at"]
    assert found(created_before="2020-01-01T00:00:00Z") == ([], 0)
    assert found(created_after="2020-01-01T00:00:00+02:00", text="other") == ([second], 1)
    assert created.endswith("Z")
    page = api.http.get("/v1/jobs", params={"page_size": 1}).json()
    rest = api.http.get("/v1/jobs", params={"page_size": 1, "page_token": page["next_page_token"]}).json()
    assert (page["total"], rest["total"], rest["jobs"][0]["id"]) == (2, None, first)


def test_display_name_and_tags_are_changed_afterwards(api: Api) -> None:
    job = api.submit(display_name="first", tags=["b", "a", "b"])
    assert api.http.get(f"/v1/jobs/{job}").json()["tags"] == ["a", "b"]

    changed = api.http.patch(f"/v1/jobs/{job}", json={"tags": ["c", "a"]}).json()
    assert (changed["display_name"], changed["tags"]) == ("first", ["a", "c"])
    changed = api.http.patch(f"/v1/jobs/{job}", json={"display_name": None}).json()
    assert (changed["display_name"], changed["tags"]) == (None, ["a", "c"])

    for wrong in ({"tags": ["not a word"]}, {"tags": None}, {"display_name": ""}, {"state": "FAILED"}):
        assert api.http.patch(f"/v1/jobs/{job}", json=wrong).status_code == 422
    assert api.http.patch(f"/v1/jobs/{job}", json={}, headers=api.token("read")).status_code == 403
