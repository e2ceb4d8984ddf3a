"""The story of a user of the command line and the Python client, both installed from the built wheel into an
environment without TensorFlow and server code: from a file to a prediction, an evaluation, and back to the old version.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from estimator_client import AsyncClient, Client
from tests.e2e.conftest import RunningService
from tests.e2e.penguins import INSTANCES, KEPT_BACK, KNOWN_CSV, TRUTH, demo, share_right
from tests.packages import environment
from tests.packages.environment import Environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service(embedded: RunningService) -> RunningService:
    """Command line and client speak HTTP: what is behind it makes no difference to them."""
    return embedded


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("client")
    return environment.install(folder / "env", environment.build(folder / "wheel", ROOT / "estimator_client"))


class Shell:
    """Runs commands of the installed client in a folder of its own."""

    def __init__(self, installed: Environment, folder: Path) -> None:
        self.installed, self.folder = installed, folder

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        profiles = str(self.folder / "profiles.json")
        return self.installed.run("estimator-service", *arguments, cwd=self.folder, ESTIMATOR_PROFILES=profiles)

    def good(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.good(*arguments))


def test_from_a_file_to_predictions_and_back_by_command_line(
    service: RunningService, installed: Environment, tmp_path: Path
) -> None:
    shell = Shell(installed, tmp_path)
    (tmp_path / "penguins.csv").write_bytes(KNOWN_CSV)
    (tmp_path / "kept-back.csv").write_bytes(demo.as_csv(KEPT_BACK))
    (tmp_path / "kept-back.jsonl").write_text("".join(json.dumps(row) + "\n" for row in INSTANCES))
    secret = service.http.headers["Authorization"].removeprefix("Bearer ")
    shell.good("--url", service.address, "--token", secret, "login")

    # train twice: two versions
    train = ("--label", "species", "--steps", "1500", "--arg", 'optimizer={"type": "Adagrad", "learning_rate": 0.1}')
    first = shell.good("train", "penguins.csv", *train).strip()
    second = shell.good("train", "penguins", *train, "--seed", "2").strip()
    assert [job["id"] for job in shell.json("jobs", "list", "--json", "--model", "penguins")] == [second, first]
    assert shell.json("jobs", "show", second, "--json")["state"] == "SUCCEEDED"
    assert "/train/seed" in shell.good("jobs", "compare", first, second)
    shell.good("jobs", "logs", first)

    # predict from a CSV file, columns of the label and all; from JSON lines; one row
    rows = list(
        csv.DictReader(
            io.StringIO(shell.good("predict", "penguins", "kept-back.csv", "-o", "csv", "--batch-size", "20"))
        )
    )
    right = [row["classes"] == truth for row, truth in zip(rows, TRUTH, strict=True)]
    assert sum(right) / len(right) > 0.9
    lines = shell.good("predict", "penguins", "kept-back.jsonl", "--version", "1").splitlines()
    assert share_right([json.loads(line) for line in lines]) > 0.9
    assert json.loads(shell.good("predict", "penguins", json.dumps(INSTANCES[0])))["classes"] == [TRUTH[0]]
    shell.good("predict", "penguins", "kept-back.csv", "--to", "answers.csv")
    assert [row["classes"] for row in csv.DictReader(io.StringIO((tmp_path / "answers.csv").read_text()))] == [
        row["classes"] for row in rows
    ]
    told = shell.run("predict", "penguins", "kept-back.csv").stderr
    assert "Not features of penguins, left out: species." in told

    # evaluate, look at the versions, roll back and promote
    evaluated = shell.run("evaluate", "penguins", "kept-back.csv", "-l", "species", "--json")
    assert evaluated.returncode == 0, evaluated.stderr
    metrics = {row["metric"]: row["value"] for row in json.loads(evaluated.stdout)}
    assert metrics["accuracy"] > 0.9
    (evaluation,) = re.findall(r"report (eval_[0-9a-z]{26})", evaluated.stderr)
    assert json.loads(shell.good("report", evaluation))
    shell.good("report", "penguins", "--to", "report.html")
    assert "<html" in (tmp_path / "report.html").read_text()
    alive = [worker["queues"] for worker in shell.json("workers", "--json") if worker["alive"]]
    assert alive  # for a while also one that another test killed
    assert all(queues == ["default"] for queues in alive)
    assert [row["version"] for row in shell.json("models", "show", "penguins", "--json")] == [2, 1]
    assert shell.good("models", "rollback", "penguins") == "penguins latest → 1\n"
    labels = {row["name"]: row["labels"] for row in shell.json("models", "list", "--json")}
    assert labels["penguins"] == {"latest": 1}
    assert shell.good("models", "promote", "penguins", "2") == "penguins latest → 2\n"

    # the SavedModel, as TensorFlow Serving finds it
    assert shell.good("export", "penguins", "here") == "here/penguins/2\n"
    assert (tmp_path / "here" / "penguins" / "2" / "saved_model.pb").stat().st_size > 1000
    assert shell.run("export", "penguins", "here").returncode == 1


def test_python_client_goes_the_same_way(service: RunningService, tmp_path: Path) -> None:
    secret = service.http.headers["Authorization"].removeprefix("Bearer ")
    frame = pd.read_csv(io.BytesIO(KNOWN_CSV))
    body = {
        "type": "train",
        "model": "framed",
        "estimator": {
            "type": "DNNClassifier",
            "args": {"hidden_units": [16], "optimizer": {"type": "Adagrad", "learning_rate": 0.1}},
        },
        "columns": "auto",
        "train": {"max_steps": 1500},
    }
    with Client(service.address, secret) as client:
        dataset = client.upload(frame, name="frame")
        job = client.submit(body | {"data": {"train": {"dataset": dataset["id"], "label": "species"}, "holdout": 0.2}})
        job.wait(bar=True, check=True)
        assert "<polyline" in job._repr_html_()
        assert job.checkpoints()
        assert job.exports()

        predicted = client.predict_frame("framed", pd.DataFrame(INSTANCES))
        assert (predicted["classes"] == TRUTH).mean() > 0.9
        columns = {name: [row[name] for row in INSTANCES] for name in INSTANCES[0]}
        outputs = client.predict_columns("framed", columns)
        assert outputs["probabilities"].shape == (len(TRUTH), 3)
        np.testing.assert_allclose(
            outputs["probabilities"], np.array(predicted["probabilities"].tolist()), rtol=1e-5, atol=1e-7
        )
        with (tmp_path / "export.tar").open("wb") as file:
            client.download_export("framed", 1, file)
        assert client.label("framed")["previous"] is None

    async def ask() -> list[Any]:
        async with AsyncClient(service.address, secret) as other:
            return await asyncio.gather(*[other.predict("framed", [row]) for row in INSTANCES[:10]])

    answers = [answer for (answer,) in asyncio.run(ask())]
    assert [answer["classes"] for answer in answers] == [[name] for name in predicted["classes"][:10]]
