"""Deletes over HTTP: what needs a thing is told, `dry_run` changes nothing, files go after the grace."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from app.registry.checkpoints import CheckpointRepository
from app.registry.jobs.attempts import AttemptRepository
from app.registry.models import ModelRepository
from app.storage import Storage
from tests.api.conftest import Api
from tests.api.test_models import publish
from tests.repositories import attempts
from workers.reconciler import Reconciler


def refused(api: Api, path: str, *words: str) -> None:
    """A delete answers 409 with these words, and its dry run tells the same."""
    planned = api.http.delete(path, params={"dry_run": True})
    assert planned.status_code == 200
    answer = api.http.delete(path)
    assert answer.status_code == 409, answer.text
    for word in words:
        assert word in answer.json()["detail"]
        assert word in " ".join(need["why"] for need in planned.json()["needed_by"])


def deleted(api: Api, path: str) -> dict[str, Any]:
    """A delete that works once; what its dry run said before."""
    planned = api.http.delete(path, params={"dry_run": True}).json()
    assert planned["needed_by"] == []
    assert api.http.delete(path).status_code == 204
    assert api.http.delete(path).status_code == 404
    return dict(planned)


def sweep(api: Api) -> None:
    """What the reconciler does once the grace is over."""
    settings = api.service.settings.model_copy(update={"orphan_grace_s": 60.0})
    for path in [api.service.storage.root, *api.service.storage.root.rglob("*")]:
        os.utime(path, (time.time() - 3600, time.time() - 3600))
    Reconciler(settings, api.service.database, api.queue, api.service.storage).sweep()


def test_everything_of_a_model_goes_from_its_label_to_its_data(api: Api) -> None:
    number = publish(api)
    status = api.http.get(f"/v1/models/things/versions/{number}").json()["versions"][0]
    job, export = status["job"], status["export"]
    dataset = api.http.get("/v1/datasets").json()["datasets"][0]["id"]
    storage = api.service.storage
    kept = [storage.export_key(export), storage.attempt_key(job, 1), Storage.dataset_key(dataset)]
    for key in kept[:2]:
        (storage.make(key) / "file").write_text("x")
    with api.service.database.session() as session:
        ModelRepository(session).set_label("things", "canary", number)

    refused(api, "/v1/models/things", "Label canary", "Label latest")
    refused(api, f"/v1/models/things/versions/{number}", f"Label latest of model things points to version {number}")
    refused(api, f"/v1/jobs/{job}", f"Version {number} of model things")
    refused(api, f"/v1/exports/{export}", f"Version {number} of model things")
    refused(api, f"/v1/datasets/{dataset}", f"Version {number} of model things")
    assert deleted(api, "/v1/models/things/labels/canary")["removes"] == {"labels": 1}
    assert api.http.delete("/v1/models/things/labels/latest", headers={"If-Match": '"7"'}).status_code == 412
    deleted(api, "/v1/models/things/labels/latest")
    planned = deleted(api, f"/v1/models/things/versions/{number}")
    assert (planned["removes"], planned["bytes"]) == ({"versions": 1, "exports": 1}, 5)
    planned = deleted(api, f"/v1/jobs/{job}")
    assert planned["removes"] == {"jobs": 1, "attempts": 1, "evaluations": 1}
    deleted(api, f"/v1/datasets/{dataset}")
    assert deleted(api, "/v1/models/things")["removes"] == {"models": 1}
    sweep(api)
    assert [key for key in kept if storage.exists(key)] == []
    told = {(entry["action"], entry["target"]) for entry in api.http.get("/v1/audit").json()["entries"]}
    assert {("job.delete", job), ("label.delete", "things/latest"), ("model.delete", "things")} <= told


def test_number_of_a_deleted_version_is_not_given_again(api: Api) -> None:
    publish(api, promote=None)
    second = publish(api, promote=None)
    deleted(api, f"/v1/models/things/versions/{second}")

    assert publish(api, promote=None) == second + 1


def test_version_that_can_be_rolled_back_to_is_forgotten_by_the_label(api: Api) -> None:
    first, second = publish(api), publish(api)
    assert api.http.get("/v1/models/things/labels/latest").json()["previous"] == first

    deleted(api, f"/v1/models/things/versions/{first}")

    label = api.http.get("/v1/models/things/labels/latest").json()
    assert (label["labels"], label["previous"]) == ({"latest": second}, None)


def test_job_stays_while_it_runs_or_its_checkpoint_is_used(api: Api) -> None:
    job = api.submit()
    refused(api, f"/v1/jobs/{job}", "The job is QUEUED")
    with api.service.database.session() as session:
        assert attempts(session).claim(job, 0, "w", 60)
        assert CheckpointRepository(session).add(job, 1, 10, f"jobs/{job}/1/model.ckpt-10", 7)
    refused(api, f"/v1/jobs/{job}", "The job is RUNNING")
    with api.service.database.session() as session:
        assert attempts(session).succeed(job, 1, {})
    dataset = api.http.get("/v1/datasets").json()["datasets"][0]["id"]
    body = {"type": "evaluate", "job": job, "data": {"eval": {"dataset": dataset}}}
    user = api.http.post("/v1/jobs", json=body).json()["id"]
    refused(api, f"/v1/jobs/{job}", f"Job {user} (QUEUED) needs it")

    api.http.post(f"/v1/jobs/{user}/cancel")

    assert deleted(api, f"/v1/jobs/{job}")["bytes"] == 7
    retried = api.http.post(f"/v1/jobs/{user}/retry")
    assert (retried.status_code, "no job of that id" in retried.json()["detail"]) == (409, True)
    deleted(api, f"/v1/jobs/{user}")


def test_late_worker_of_a_deleted_job_changes_nothing(api: Api) -> None:
    job = api.submit()
    with api.service.database.session() as session:
        assert attempts(session).claim(job, 0, "w", 60)
        assert attempts(session).fail(job, 1, "invalid_data", "x")
    deleted(api, f"/v1/jobs/{job}")

    with api.service.database.session() as session:
        late: AttemptRepository = attempts(session)
        assert CheckpointRepository(session).add(job, 1, 10, f"jobs/{job}/1/model.ckpt-10", 7) is None
        assert not late.succeed(job, 1, {})


@pytest.mark.parametrize("path", ["/v1/models/no", "/v1/models/no/versions/1", "/v1/models/no/labels/x"])
def test_what_is_not_there_is_404(shared_api: Api, path: str) -> None:
    assert shared_api.http.delete(path).status_code == 404


def test_data_sets_are_taken_by_name_and_deleted_where_the_name_is_one_of_a_kind(shared_api: Api) -> None:
    first = shared_api.upload(b"a,b\n1,2\n", "one.csv").json()["id"]
    assert shared_api.http.get("/v1/datasets/things").json()["id"] == first
    assert shared_api.http.get("/v1/datasets/things/preview").json()["rows"] == [{"a": 1, "b": 2}]
    second = shared_api.upload(b"a,b\n3,4\n", "two.csv").json()["id"]
    assert shared_api.http.get("/v1/datasets/things").json()["id"] == second
    assert shared_api.http.get("/v1/datasets/other").status_code == 404

    answer = shared_api.http.delete("/v1/datasets/things")

    assert answer.status_code == 409
    assert first in answer.json()["detail"] and second in answer.json()["detail"]
    deleted(shared_api, f"/v1/datasets/{first}")
    assert shared_api.http.delete("/v1/datasets/things").status_code == 204
