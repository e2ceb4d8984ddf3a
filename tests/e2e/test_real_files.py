"""Files as people have them, from the upload to a prediction: booleans, a row of the preview, names of any kind."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.e2e.conftest import RunningService
from tests.waiting import wait_for


def train_body(model: str, dataset: str, estimator: dict[str, Any], steps: int = 20) -> dict[str, Any]:
    return {
        "type": "train",
        "model": model,
        "estimator": estimator,
        "columns": "auto",
        "data": {"train": {"dataset": dataset, "label": "label", "batch_size": 16, "shuffle": True}, "holdout": 0.2},
        "train": {"max_steps": steps},
    }


def predict(service: RunningService, model: str, body: dict[str, Any]) -> Any:
    return service.http.post(f"/v1/models/{model}:predict", json=body)


def test_row_of_the_preview_is_answered_with_its_booleans_and_further_columns(embedded: RunningService) -> None:
    rows = "".join(
        f'{{"vip": {("true", "false")[n % 2]}, "x": {n % 7}, "label": "{"yn"[n % 2]}"}}\n' for n in range(60)
    )
    made = embedded.upload("booleans", rows.encode(), "data.jsonl").json()
    job = embedded.succeeded(
        embedded.submit(train_body("booleans", "booleans", {"type": "LinearClassifier", "args": {}}))
    )
    row = embedded.get(f"/v1/datasets/{made['id']}/preview?rows=1")["rows"][0]
    assert row == {"vip": True, "x": 0, "label": "y"}
    assert job["result"]["version_state"] == "AVAILABLE", job["result"]
    assert predict(embedded, "booleans", {"instances": [{"vip": False, "x": 1}]}).status_code == 200
    refused = predict(embedded, "booleans", {"instances": [row]})
    assert refused.status_code == 422
    assert '"ignore_unknown": true' in refused.json()["detail"]
    answer = predict(embedded, "booleans", {"instances": [row], "ignore_unknown": True})
    assert answer.status_code == 200, answer.text
    told = predict(embedded, "booleans", {"instances": [{"vip": None, "x": 1e9}], "warnings": True}).json()
    assert len(told["predictions"]) == 1
    assert [warning["feature"] for warning in told["warnings"]] == ["vip", "x"]


def test_model_answers_by_the_version_of_a_job_that_has_succeeded(service: RunningService) -> None:
    for name in ("one", "two", "three"):
        rows = "".join(f"{'ab'[n % 2]},{n % 7 / 8},{'yn'[n % 2]}\n" for n in range(60))
        dataset = service.dataset(name, f"{name},x,label\n{rows}".encode())
        job = service.submit(train_body("stale", dataset, {"type": "LinearClassifier", "args": {}}, steps=5))
        found = service.succeeded(job)
        answer = predict(service, "stale", {"instances": [{name: "a", "x": 0.5}]})
        assert answer.status_code == 200, answer.text
        assert int(answer.headers["x-model-version"]) == found["result"]["version"]
        assert found["result"]["version_state"] == "AVAILABLE"
        # An attempt began where it began, not at the first beat of its heart.
        assert [(part["first_step"], part["last_step"]) for part in found["attempts"]] == [(0, 5)]
        log = service.http.get(f"/v1/jobs/{job}/logs").text
        lines = [line for line in log.splitlines() if line]
        assert len(lines) == len(set(lines))
        assert "deprecated" not in log


AWKWARD = [
    "Marital Status", "größe", "年齢", "_id", "/slash", 'say "hi"', "one, two", "class", "self", "a b", "a_b", "x²",
]  # fmt: skip
"""Names that a header may hold: such as no variable, no scope, no parameter of Python has, and two that become one."""

CELLS = [
    lambda n: f"{n % 7 / 4}", lambda n: "abc"[n % 3], lambda n: f"u{n * 7 % 20}", lambda n: str(n % 5),
    lambda n: ("true", "false")[n % 2], lambda n: f'["{"rst"[n % 3]}", "s"]',
]  # fmt: skip
"""How a cell of each kind looks in row n: fraction, few words, many words, whole number, boolean, list."""


def test_columns_of_any_name_train_evaluate_export_serve_and_predict(embedded: RunningService) -> None:
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow([*AWKWARD, "label"])
    lines.writerows([*(CELLS[i % 6](n) for i in range(len(AWKWARD))), "yn"[n % 2]] for n in range(60))
    data = embedded.dataset("awkward", text.getvalue().encode())
    combined = {"type": "DNNLinearCombinedClassifier", "args": {"dnn_hidden_units": [3]}}
    embedded.succeeded(embedded.submit(train_body("awkward", data, combined, steps=3)))
    assert {feature["name"] for feature in embedded.get("/v1/models/awkward/metadata")["features"]} == set(AWKWARD)
    row = embedded.get(f"/v1/datasets/{data}/preview?rows=1")["rows"][0]
    del row["label"]

    def answer() -> Any:
        # The job waits for its version for some seconds only.
        given = predict(embedded, "awkward", {"instances": [row]})
        assert given.status_code in {200, 404, 503}, given.text
        return given.json()["predictions"] if given.status_code == 200 else None

    (told,) = wait_for(answer, "the version's answer")
    assert sum(told["probabilities"]) == pytest.approx(1)
