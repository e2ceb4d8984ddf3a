"""The Python client against a running API."""

from __future__ import annotations

import gzip
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from estimator_client import ApiError, Client, JobNotSuccessful, Unreachable
from tests.api.conftest import CSV, Api, train_job
from tests.api.test_events import run_job
from tests.api.test_models import publish
from tests.waiting import wait_for


@pytest.fixture
def client(api: Api) -> Client:
    return Client(str(api.http.base_url), api.http.headers["Authorization"].removeprefix("Bearer "))


@pytest.fixture
def things(tmp_path: Path) -> Path:
    path = tmp_path / "things.csv"
    path.write_bytes(CSV)
    return path


def test_client_uploads_submits_and_watches_to_the_end(api: Api, client: Client, things: Path) -> None:
    with client:
        dataset = client.upload(things)
        assert client.dry_run(train_job(dataset["id"]))["parameters"] > 0
        job = client.submit(train_job(dataset["id"]), idempotency_key="one")
        worker = threading.Thread(target=run_job, args=(api, job["id"], 0.3))
        worker.start()
        states = [event.data["state"] for event in client.watch(job["id"]) if event.kind == "state"]
        worker.join()

        assert states == ["QUEUED", "RUNNING", "SUCCEEDED"]
        assert client.wait(job["id"], timeout_s=60)["state"] == "SUCCEEDED"
        assert [found["id"] for found in client.jobs(state="SUCCEEDED")] == [job["id"]]
        assert [found["id"] for found in client.datasets()] == [dataset["id"]]


def test_client_goes_through_all_pages(api: Api, client: Client) -> None:
    ids = [api.submit() for _ in range(3)]
    with client:
        assert [job.id for job in client.jobs(page_size="1")] == ids[::-1]


def test_client_raises_the_problem_with_its_places(client: Client) -> None:
    with client, pytest.raises(ApiError) as refused:
        client.submit({"type": "nonsense"})

    assert refused.value.status == 422
    assert "/type" in str(refused.value)


def test_client_says_when_nobody_answers() -> None:
    with Client("http://127.0.0.1:9", "x", patience_s=0.5) as client, pytest.raises(Unreachable, match=r"\.0\.0\.1:9"):
        client.job("job_01k9zv0q2m8x4t6b3c5d7e9f1g")


def test_one_wrong_field_is_said_once(client: Client) -> None:
    with client, pytest.raises(ApiError) as refused:
        client.submit({"type": "nonsense"})

    assert len(str(refused.value).splitlines()) == 1


def test_frames_are_uploaded_and_previewed(client: Client) -> None:
    frame = pd.DataFrame({"x": [1.5, 2.5], "kind": ["a", "b"]})
    with client:
        made = client.upload(frame, name="frame of mine")

        assert (made["rows"], made["format"]) == (2, "parquet")
        assert client.preview(made["id"]) == [{"x": 1.5, "kind": "a"}, {"x": 2.5, "kind": "b"}]
        assert client.dataset("frame of mine")["id"] == made["id"]
        assert client.dataset_usage(made["id"])["jobs"] == []
        with pytest.raises(LookupError, match="no such"):
            client.dataset("no such")
        client.delete_dataset(made["id"])
        assert list(client.datasets()) == []


def test_data_set_is_called_as_its_file_without_endings(client: Client, tmp_path: Path) -> None:
    contents = {"a.CSV": b"x\n1\n", "b.csv.gz": gzip.compress(b"x\n2\n"), "v1.2.csv": b"x\n3\n"}
    with client:
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
            made = client.upload(tmp_path / name)
            wanted = {"a.CSV": "a", "b.csv.gz": "b", "v1.2.csv": "v1.2"}[name]
            assert made["name"] == wanted
            assert client.dataset(wanted)["id"] == client.dataset(name)["id"] == made["id"]
        other = client.upload({"x": [4]}, name="a.CSV")
        assert client.dataset("a.CSV")["id"] == other["id"]  # the one that is called so
        slashed = client.upload({"x": [5]}, name="of/mine")
        assert client.dataset("of/mine")["id"] == slashed["id"]


def test_columns_of_arrays_are_uploaded(client: Client) -> None:
    columns = {"x": np.array([1.5, np.nan]), "v": np.array([[1, 2], [3, 4]]), "kind": ["a", "b"]}
    with client:
        made = client.upload(columns)
        assert (made["name"], made["rows"]) == ("frame", 2)
        assert client.preview(made["id"])[0] == {"x": 1.5, "v": [1, 2], "kind": "a"}
        with pytest.raises(ApiError, match="object store") as refused:
            client.upload(columns, direct=True)
        assert refused.value.status == 409


def test_job_is_waited_for_with_a_bar_and_shows_its_curves(
    api: Api, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id = api.submit()
    worker = threading.Thread(target=run_job, args=(api, job_id, 0.3))
    worker.start()
    with client:
        job = client.job(job_id).wait(bar=True, check=True, poll_s=0.05, timeout_s=60)
    worker.join()

    assert job.state == "SUCCEEDED"
    assert "SUCCEEDED" in capsys.readouterr().err
    assert job_id in job._repr_html_()


def test_cancelled_job_raises_when_it_is_checked(api: Api, client: Client) -> None:
    with client:
        job = client.job(api.submit()).cancel()
        assert client.retry(job.id).state == "QUEUED"
        job.cancel()
        with pytest.raises(JobNotSuccessful, match="ended CANCELLED"):
            job.wait(check=True, timeout_s=60)


def test_waiting_ends_with_the_time_allowed(api: Api, client: Client) -> None:
    with client, pytest.raises(TimeoutError, match="still QUEUED"):
        client.job(api.submit()).wait(timeout_s=0, poll_s=0.01, bar=True)


def test_tokens_are_made_and_revoked(client: Client) -> None:
    with client:
        made = client.create_token("notebook", ["read"])
        with Client(client.address, made["token"]) as other:
            assert list(other.models()) == []
            with pytest.raises(ApiError) as refused:
                other.tokens()
        assert refused.value.status == 403
        client.revoke_token(made["id"])
        assert next(row for row in client.tokens() if row["id"] == made["id"])["revoked_at"]
        # refusals are written by a task of their own, in their time
        wanted = {"token.revoke", "token.refused", "token.create"}
        wait_for(lambda: {entry["action"] for entry in client.audit()} == wanted)


def test_kept_requests_and_labels_over_the_client(api: Api, client: Client) -> None:
    publish(api)
    with client:
        assert client.set_keep("things", 10, redact=["size"])["redact"] == ["size"]
        sent = client.feedback("things", {"pred_01k9zv0q2m8x4t6b0000000001.0": "big"})
        assert sent == {"stored": 1, "kept": 0}
        assert client.quality("things", by="size") == []
        with pytest.raises(ApiError, match="No kept prediction"):
            client.feedback_dataset("things", "came back")
