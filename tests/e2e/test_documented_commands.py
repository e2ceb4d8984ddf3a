"""The commands of README and compose file, typed as they stand there."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.config import Settings
from tests.api.conftest import CSV, train_job
from tests.documented import CURL, ROOT, compose, curl_commands, image_command, on_pages, words
from tests.e2e.penguins import KNOWN_CSV
from tests.ports import free_port
from tests.tied import tied
from tests.waiting import wait_for
from workers.service import broker


class Parts:
    """Processes started by command lines that stand somewhere, in a data directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.data_dir = directory / "data"
        self.log = directory / "log"
        self._running: list[subprocess.Popen[bytes]] = []
        own = {"DATA_DIR": str(self.data_dir), "PORT": str(self.port), "DATABASE_URL": "", "REDIS_URL": ""}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = os.environ | own | {"PATH": path, "PYTHONPATH": str(ROOT), "HOSTNAME": socket.gethostname()}

    def start(self, command: list[str]) -> None:
        with self.log.open("ab") as log:
            self._running.append(
                subprocess.Popen(
                    tied(command), cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
                )
            )

    def succeeds(self, command: list[str], **options: Any) -> str:
        """Runs a command to its end; its output."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=500, check=False, **options
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.log.read_text()
        return done.stdout

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.address}/readyz", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def token(self) -> str:
        return (self.data_dir / "admin-token").read_text()

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token()}"}
        return httpx.Client(base_url=self.address, headers=headers, trust_env=False, timeout=30)

    def stop(self) -> None:
        for process in reversed(self._running):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self._running):
            process.wait(60)


@contextmanager
def parts(directory: Path, commands: list[list[str]]) -> Iterator[Parts]:
    made = Parts(directory)
    settings = Settings(data_dir=made.data_dir, database_url="", redis_url="", artifacts_url="")
    try:
        for command in (broker.command(settings), *commands):
            made.start(command)
        wait_for(made.is_ready, "the API")
        yield made
    finally:
        made.stop()


def commands_of(source: str) -> list[list[str]]:
    """Of the API, a worker and the reconciler."""
    if source == "README":
        shown = [command for command, pages in on_pages().items() if "README.md" in pages]
        return [words(command) for command in shown if re.match(r"python -m (app|workers)|celery ", command)]
    services = compose()["services"]
    return [image_command(), services["worker"]["command"], services["reconciler"]["command"]]


@pytest.mark.parametrize("source", ["README", "compose"])
def test_parts_started_by_documented_commands_train_and_predict(tmp_path: Path, source: str) -> None:
    commands = commands_of(source)
    assert len(commands) == 3
    with parts(tmp_path, commands) as running, running.client() as http:
        if source == "README":
            follow_curl(running, http, tmp_path)
        else:
            train(http)
            check_health_as_compose(running)
        (worker,) = http.get("/v1/workers").json()["workers"]
        assert (worker["alive"], worker["queues"], worker["jobs"]) == (True, ["default"], [])
        assert http.get("/readyz").json()["status"] == "ok"


def train(http: httpx.Client) -> None:
    dataset = http.post("/v1/datasets", files={"file": ("things.csv", CSV)}, data={"name": "things"}).json()["id"]
    submitted = http.post("/v1/jobs", json=train_job(dataset))
    assert submitted.status_code == 202, submitted.text
    wait_for(lambda: http.get(f"/v1/jobs/{submitted.json()['id']}").json()["state"] == "SUCCEEDED", "the job's end")


def check_health_as_compose(running: Parts) -> None:
    """The health checks of the containers, as their commands stand. The worker's loads all of Celery each time: while
    the worker still starts, it is asked in vain again and again."""
    services = compose()["services"]
    _, *api = services["api"]["healthcheck"]["test"]
    running.succeeds([part.replace(":8000/", f":{running.port}/") for part in api])
    _, worker = services["worker"]["healthcheck"]["test"]
    wait_for(
        lambda: (
            subprocess.run(
                ["sh", "-c", worker.replace("$$", "$")],
                cwd=ROOT,
                env=running.environment,
                capture_output=True,
                check=False,
            ).returncode
            == 0
        ),
        "the worker's health check",
    )


def follow_curl(running: Parts, http: httpx.Client, directory: Path) -> None:
    """The curl commands, with the ids that the first two answer."""
    (directory / "penguins.csv").write_bytes(KNOWN_CSV)
    get_token = "export TOKEN=$(cat data/admin-token)"
    assert get_token in CURL.read_text()
    answers: list[dict[str, Any]] = []
    assert len(curl_commands()) == 4
    for number, command in enumerate(curl_commands()):
        typed = command.replace("http://127.0.0.1:8000", running.address)
        if answers:
            typed = typed.replace("ds_… (the id above)", answers[0]["id"])
        if number == 3:  # the model is asked when its training has ended
            job = f"/v1/jobs/{answers[1]['id']}"
            wait_for(lambda job=job: http.get(job).json()["state"] == "SUCCEEDED", "the job's end")
            wait_for(
                lambda: http.get("/v1/models/penguins").json()["model_version_status"][0]["state"] == "AVAILABLE",
                "the model",
            )
        if len(answers) > 1:
            typed = typed.replace("job_…", answers[1]["id"])
        assert "…" not in typed
        answers.append(
            json.loads(running.succeeds(["sh", "-ec", f"{get_token}\n{typed} -sS --fail-with-body"], cwd=directory))
        )
    assert answers[2]["id"] == answers[1]["id"]
    assert answers[3]["predictions"][0]["classes"] == ["Gentoo"]


def environment_is_that_of_the_lock() -> bool:
    """Otherwise the scripts would first make another one, of a gigabyte."""
    digest = subprocess.run("cksum < requirements.lock", shell=True, cwd=ROOT, capture_output=True, text=True).stdout
    known = ROOT / ".venv" / "lock-digest"
    return known.exists() and known.read_text().strip() == digest.strip()


@pytest.mark.skipif(not environment_is_that_of_the_lock(), reason="needs .venv as scripts/test makes it")
@pytest.mark.parametrize("command", ["scripts/demo", "scripts/demo --keep", "scripts/serve --data-dir ./data"])
def test_script_of_the_readme_does_what_it_says(tmp_path: Path, command: str) -> None:
    assert command in on_pages()
    script, *arguments = words(command)
    arguments = ["--port", str(free_port()), *arguments]
    if "serve" not in script:
        arguments += ["--data-dir", str(tmp_path / "demo")] if "--keep" in command else []
    started = tied([ROOT / script, *(argument.replace("./data", str(tmp_path / "data")) for argument in arguments)])
    environment = os.environ | {"DATABASE_URL": "", "REDIS_URL": "", "COLUMNS": "120"}
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            started,
            cwd=tmp_path,
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        if "serve" in script:
            wait_for(lambda: "Estimator Service runs on" in log.read_text() or process.poll(), "the announcement")
            process.send_signal(signal.SIGTERM)
        assert process.wait(180) == 0, log.read_text()
        if "demo" in script:
            assert "kept-back penguins right" in log.read_text()
        if "--keep" in command:
            (pid,) = re.findall(r"stop it: kill (\d+)", log.read_text())
            os.kill(int(pid), signal.SIGTERM)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
