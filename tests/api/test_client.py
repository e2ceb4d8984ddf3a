"""The Python client and the command line against a running API."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from estimator_client.cli import app
from estimator_client.client import ApiError, Client, Unreachable
from tests.api.conftest import CSV, Api, train_job
from tests.api.test_events import run_job


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
        assert client.wait(job["id"], timeout_s=5)["state"] == "SUCCEEDED"
        assert [found["id"] for found in client.jobs(state="SUCCEEDED")] == [job["id"]]
        assert [found["id"] for found in client.datasets()] == [dataset["id"]]


def test_client_goes_through_all_pages(api: Api, client: Client) -> None:
    ids = [api.submit() for _ in range(3)]
    with client:
        assert [job["id"] for job in client._pages("/v1/jobs", "jobs", {"page_size": "1"})] == ids[::-1]


def test_client_raises_the_problem_with_its_places(client: Client) -> None:
    with client, pytest.raises(ApiError) as refused:
        client.submit({"type": "nonsense"})

    assert refused.value.status == 422
    assert "/type" in str(refused.value)


def test_client_says_when_nobody_answers() -> None:
    with Client("http://127.0.0.1:9", "x") as client, pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        client.job("job_01k9zv0q2m8x4t6b3c5d7e9f1g")


def run(api: Api, *arguments: str) -> tuple[int, str]:
    environment = {
        "ESTIMATOR_URL": str(api.http.base_url),
        "DATA_DIR": str(api.service.settings.data_dir),
        "ESTIMATOR_TOKEN": "",
        "COLUMNS": "200",
    }
    done = CliRunner().invoke(app, list(arguments), env=environment)
    return done.exit_code, done.output


def test_command_line_from_file_to_cancelled_job(api: Api, things: Path, tmp_path: Path) -> None:
    status, said = run(api, "datasets", "upload", str(things))
    assert status == 0, said
    dataset = said.split()[-1]
    assert dataset in run(api, "datasets", "list")[1]
    file = tmp_path / "job.json"
    file.write_text(json.dumps(train_job(dataset)))
    status, said = run(api, "submit", str(file))
    assert status == 0, said
    job = said.split()[-1]

    assert "QUEUED" in run(api, "jobs")[1]
    assert run(api, "cancel", job)[1].strip() == "CANCELLED"
    status, said = run(api, "watch", job)
    assert status == 1
    assert "CANCELLED" in said


def test_command_line_makes_and_revokes_tokens(api: Api) -> None:
    status, secret = run(api, "tokens", "create", "notebook", "read", "predict")
    assert status == 0
    assert api.http.get("/v1/jobs", headers={"Authorization": f"Bearer {secret.strip()}"}).status_code == 200
    token = next(row for row in api.http.get("/v1/tokens").json()["tokens"] if row["name"] == "notebook")
    assert run(api, "tokens", "revoke", token["id"])[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("submit", "{}"), "/type"),
        (("submit", "{"), "Not valid JSON"),
        (("submit", "missing.json"), "Cannot read"),
        (("predict", "nobody", "[1]"), "503"),
        (("watch", "job_00000000000000000000000000"), "404"),
    ],
)
def test_command_line_says_what_is_wrong(api: Api, arguments: tuple[str, ...], words: str) -> None:
    status, said = run(api, *arguments)

    assert status == 1
    assert words in said
    assert "Traceback" not in said


def test_command_line_without_service_says_how_to_start_one(tmp_path: Path) -> None:
    environment = {"ESTIMATOR_URL": "http://127.0.0.1:9", "ESTIMATOR_TOKEN": "x", "DATA_DIR": str(tmp_path)}
    done = CliRunner().invoke(app, ["jobs"], env=environment)

    assert done.exit_code == 1
    assert "scripts/serve" in done.output
