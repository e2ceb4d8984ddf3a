"""The examples of `POST /v1/jobs` in the API's documentation, run one after the other by the real engine."""

from __future__ import annotations

import json
import random
from pathlib import Path

from app.api.job_examples import DATASET, EXAMPLES, JOB
from app.registry.models import ModelRepository
from tests.workers.in_process import Service


def penguins(rows: int = 200) -> str:
    chance = random.Random(1)
    lines = ["bill_length_mm,island,species"]
    for row in range(rows):
        species = ("Adelie", "Chinstrap", "Gentoo")[row % 3]
        length = chance.gauss({"Adelie": 38.8, "Chinstrap": 48.8, "Gentoo": 47.5}[species], 1.0)
        island = chance.choice(
            {"Adelie": ["Biscoe", "Torgersen"], "Chinstrap": ["Dream"], "Gentoo": ["Biscoe"]}[species]
        )
        lines.append(f"{length:.1f},{island},{species}")
    return "\n".join(lines) + "\n"


def test_every_example_succeeds(tmp_path: Path, migrated_sqlite: Path) -> None:
    service = Service(tmp_path / "data", migrated_sqlite)
    dataset = service.upload(penguins())
    jobs: dict[str, str] = {}
    for name, example in EXAMPLES.items():
        text = json.dumps(example["value"]).replace(DATASET, dataset).replace(JOB, jobs.get("train", JOB))
        jobs[name] = service.submit(json.loads(text))
        assert service.run(jobs[name]) == "succeeded", (name, service.job(jobs[name]).error_detail)
    stopped = service.job(jobs["train_early_stopping"]).result
    assert stopped["exported_step"] <= stopped["step"]
    # A version notes the label that it is to get; the serving process moves it once the version is loaded.
    for name, label in {"train": "latest", "export": "canary"}.items():
        (version,) = service.look(ModelRepository, "versions_of_job", jobs[name])
        assert (version.state, version.promote_label) == ("STAGED", label)
    assert service.job(jobs["train_warm_start"]).spec["warm_start_from"]["job"] == jobs["train"]
    assert service.job(jobs["evaluate"]).result["metrics"]["accuracy"] > 0.9
    assert service.job(jobs["predict"]).result["rows"] == 200
