"""The API on an object store: what it writes is there for other hosts, and an outage is told."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.object_store.object_storage import ObjectStorage
from app.queue import MemoryQueue
from app.readiness import ReadinessMonitor
from app.registry.db import Database
from app.startup import prepare
from estimator_client import Client
from tests.api.conftest import CSV, Api, run_api, sqlite_settings
from tests.object_store.stores import FaultProxy, Hosts, environment
from tests.published_models import publish
from tests.repositories import attempts
from tests.test_storage import fill
from tests.waiting import wait_for


@pytest.fixture
def faults(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    proxy = FaultProxy(s3)
    for name, value in environment(proxy.endpoint).items():
        monkeypatch.setenv(name, value)
    yield proxy
    proxy.close()


@pytest.fixture
def api(faults: FaultProxy, hosts: Hosts, tmp_path: Path, migrated_sqlite: Path) -> Iterator[Api]:
    settings = sqlite_settings(tmp_path / "data", migrated_sqlite)
    yield from run_api(settings.model_copy(update={"artifacts_url": hosts.url}))


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path / "caches")


@pytest.fixture
def other(api: Api, hosts: Hosts) -> ObjectStorage:
    """The store as another host has it."""
    return hosts.storage()


def hurry(api: Api) -> None:
    """Its store is given up after a moment."""
    assert isinstance(api.service.storage, ObjectStorage)
    api.service.storage._bucket._patience_s = 0.2


def test_upload_is_read_by_other_hosts_and_leaves_no_spool(api: Api, other: ObjectStorage) -> None:
    dataset = api.dataset()
    assert api.dataset() == dataset  # the same content again leaves nothing
    assert other.keys("datasets") == [f"datasets/{dataset}"]
    with other.reading(f"datasets/{dataset}") as directory:
        assert json.loads((directory / "meta.json").read_text())["rows"] == 60
    assert len(list(api.service.storage.path("datasets").iterdir())) == 1
    assert len(api.http.get(f"/v1/datasets/{dataset}/preview?rows=3").json()["rows"]) == 3


def test_data_set_of_another_host_is_fetched_to_be_looked_at(api: Api, faults: FaultProxy) -> None:
    dataset = api.dataset()
    api.service.storage.drop(f"datasets/{dataset}")  # as a host that never had it
    answer = api.http.get(f"/v1/datasets/{dataset}/distributions?label=kind")
    assert (answer.status_code, answer.json()["rows"]) == (200, 60)
    asked = len(faults.seen)
    assert api.http.get(f"/v1/datasets/{dataset}/preview").status_code == 200
    assert len(faults.seen) == asked


@pytest.mark.parametrize("fault", ["down", "500"])
def test_upload_during_an_outage_is_503_and_leaves_nothing(
    api: Api, other: ObjectStorage, faults: FaultProxy, fault: str
) -> None:
    hurry(api)
    faults.fault = fault
    answer = api.upload()
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The artifact store does not answer."
    assert "retry-after" in answer.headers
    assert api.http.get("/v1/datasets").json()["datasets"] == []
    faults.mend()
    assert api.upload().status_code == 201
    assert len(list(api.service.storage.path("datasets").iterdir())) == 1


def test_files_of_a_version_made_elsewhere_are_downloaded(api: Api, other: ObjectStorage, faults: FaultProxy) -> None:
    publish(api.service.database, other)
    answer = api.http.get("/v1/models/m/versions/1/saved_model")
    assert answer.status_code == 200
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        assert archive.getnames() == ["m/1/saved_model.pb"]
    hurry(api)
    faults.fault = "down"
    assert api.http.get("/v1/models/m/versions/1/saved_model").status_code == 200  # it is here


def test_log_of_a_job_that_ran_elsewhere_is_read(api: Api, other: ObjectStorage) -> None:
    job_id = api.submit()
    with api.service.database.session() as session:
        assert attempts(session).claim(job_id, 0, "other host", 60.0) is not None
    fill(other, other.attempt_key(job_id, 1), {"log.txt": "a line of another host\n"})
    other.mirror(f"{other.attempt_key(job_id, 1)}/log.txt")
    assert api.http.get(f"/v1/jobs/{job_id}/logs").text == "--- attempt 1 ---\na line of another host\n"


def test_store_that_overwrites_keeps_the_service_from_being_ready(api: Api, faults: FaultProxy) -> None:
    state = api.service
    assert isinstance(state.storage, ObjectStorage)
    faults.fault, state.storage._fit = "overwrites", False

    async def try_for_a_moment() -> None:
        task = asyncio.create_task(prepare(state))
        while not state.not_ready:  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.01)
        assert "If-None-Match" in state.not_ready
        faults.mend()
        await task

    asyncio.run(try_for_a_moment())
    assert state.not_ready == ""


def test_readiness_tells_of_an_outage(hosts: Hosts, database: Database, faults: FaultProxy) -> None:
    monitor = ReadinessMonitor(database, MemoryQueue(), hosts.storage(patience_s=0.1), every_s=0.02, store_every_s=0.02)
    monitor.start()
    try:
        wait_for(lambda: monitor._store is not None and monitor._store.last()[0] == "")
        faults.fault = "down"
        wait_for(lambda: any("artifact store does not answer" in text for text in monitor.current().problems))
        faults.mend()
        wait_for(lambda: not monitor.current().problems)
    finally:
        monitor.stop()


def test_files_of_a_version_are_downloaded_from_the_store_itself(api: Api, other: ObjectStorage) -> None:
    publish(api.service.database, other)
    answer = api.http.get("/v1/models/m/versions/1/files?valid_s=60")
    assert answer.status_code == 200
    [file] = answer.json()["files"]
    assert (file["name"], file["bytes"]) == ("saved_model.pb", 1)
    content = httpx.get(file["address"], trust_env=False).content
    assert (content, hashlib.sha256(content).hexdigest()) == (b"x", file["sha256"])


def test_data_set_is_made_of_a_file_that_was_put_into_the_store(api: Api, other: ObjectStorage) -> None:
    given = api.http.post("/v1/uploads").json()
    fields = {"upload": given["id"], "filename": "things.csv", "name": "things"}

    def make(**changes: str) -> httpx.Response:
        parts = {name: (None, value) for name, value in {**fields, **changes}.items()}
        return api.http.post("/v1/datasets", files=parts)

    early = make()
    assert (early.status_code, early.json()["errors"][0]["pointer"]) == (422, "/upload")
    assert httpx.put(given["address"], content=CSV, trust_env=False).status_code == 200
    for wrong in ({"upload": "ds_1"}, {"filename": ""}):
        assert make(**wrong).json()["errors"][0]["pointer"] == f"/{next(iter(wrong))}"
    assert make().json()["id"] == make().json()["id"] == api.dataset()
    assert other.keys("uploads") == [f"uploads/{given['id']}"]
    assert len(list(api.service.storage.path("datasets").iterdir())) == 1


def test_client_uploads_to_the_store_itself(api: Api, other: ObjectStorage, tmp_path: Path) -> None:
    (tmp_path / "things.csv").write_bytes(CSV)
    secret = api.http.headers["Authorization"].removeprefix("Bearer ")
    with Client(str(api.http.base_url), secret) as client:
        made = client.upload(tmp_path / "things.csv", name="things", direct=True)
    assert (made["id"], made["rows"]) == (api.dataset(), 60)
    assert len(other.keys("uploads")) == 1


def test_upload_to_the_store_that_is_too_large_is_413(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    given = api.http.post("/v1/uploads").json()
    httpx.put(given["address"], content=CSV, trust_env=False)
    small = api.service.settings.model_copy(update={"max_upload_bytes": 10})
    monkeypatch.setattr(api.service, "settings", small)
    parts = {"upload": (None, given["id"]), "filename": (None, "a.csv")}
    assert api.http.post("/v1/datasets", files=parts).status_code == 413
