"""Canned estimators behind the REST API, in TensorFlow Serving's documented shapes: the answers are those that
tf.estimator 2.15 gave for the same rows (`tests/golden`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.digest import directory_digest
from app.serving.model_limits import BatchLimits
from app.serving.own_predictors import OwnPredictors
from app.serving.wanted_version import WantedVersion
from tests.fork_server import Lender
from tests.serving.canned_cases import CASES
from tests.serving.conftest import ROOT, Server
from tests.waiting import wait_for

TOLERANCE = {"rel": 1e-3, "abs": 1e-5}  # of the recorded numbers, as in tests/estimator/golden_case.py


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("canned")
    command = [sys.executable, "-m", "tests.serving.canned_exports", str(place)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return place


@pytest.fixture(scope="module")
def canned(root: Path, fork_server: Lender) -> Iterator[Server]:
    with fork_server.lent():
        server = Server(limits=BatchLimits(timeout_s=60), predictors=OwnPredictors(spare=False))
    try:
        server.sync(
            *(
                WantedVersion(name, 1, str(root / name), directory_digest(root / name), "ver_1", ("latest",))
                for name in CASES
            )
        )
        for name in CASES:
            [version] = server.service.models.versions_of(name)
            wait_for(lambda loaded=version: loaded.export is not None, f"{name} to be loaded")  # type: ignore[misc]
        yield server
    finally:
        server.stop()


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, root: Path) -> tuple[str, dict[str, Any]]:
    return request.param, json.loads((root / f"{request.param}.json").read_text())


Case = tuple[str, dict[str, Any]]


def ask(server: Server, name: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    response = server.post(f"{name}:{verb}", body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def assert_close(answer: Any, expected: Any) -> None:
    """Strings and shapes exactly, numbers within the tolerance."""
    if isinstance(expected, list):
        assert len(answer) == len(expected)
        for one, other in zip(answer, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, str):
        assert answer == expected
    else:
        assert answer == pytest.approx(expected, **TOLERANCE)


def rows_of(predictions: dict[str, list[Any]]) -> list[dict[str, Any]]:
    count = len(next(iter(predictions.values())))
    return [{name: values[i] for name, values in predictions.items()} for i in range(count)]


def assert_predictions(answer: list[Any], recorded: dict[str, list[Any]]) -> None:
    """Row form: an object a row, the bare value where the signature has one output."""
    for row, expected in zip(answer, rows_of(recorded), strict=True):
        if len(expected) == 1:
            assert_close(row, next(iter(expected.values())))
            continue
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            assert_close(row[name], value)


def test_predict_in_row_form_answers_what_was_recorded(canned: Server, case: Case) -> None:
    name, told = case
    answer = ask(canned, name, "predict", {"instances": told["instances"]})
    assert answer.keys() == {"predictions"}
    assert_predictions(answer["predictions"], told["predictions"])


def test_predict_in_column_form_answers_columns(canned: Server, case: Case) -> None:
    name, told = case
    inputs = {key: [row[key] for row in told["instances"]] for key in told["instances"][0]}
    outputs = ask(canned, name, "predict", {"signature_name": "predict", "inputs": inputs})["outputs"]
    recorded = told["predictions"]
    if len(recorded) == 1:
        outputs = {next(iter(recorded)): outputs}
    assert outputs.keys() == recorded.keys()
    for key, expected in recorded.items():
        assert_close(outputs[key], expected)


def test_serialized_examples_answer_the_same(canned: Server, case: Case) -> None:
    name, told = case
    body = {"signature_name": "examples", "instances": [{"b64": text} for text in told["examples"]]}
    assert_predictions(ask(canned, name, "predict", body)["predictions"], told["predictions"])


def test_classify_answers_pairs_of_label_and_score(canned: Server, case: Case) -> None:
    name, told = case
    recorded = told["predictions"]
    if "probabilities" not in recorded:
        response = canned.post(f"{name}:classify", {"examples": told["instances"]})
        assert response.status_code == 404
        assert "classification" in response.json()["error"]
        return
    results = ask(canned, name, "classify", {"examples": told["instances"]})["results"]
    # a multi-label head has no list of all classes: every row has the same ones, in the order of the scores
    labels = recorded.get("all_classes") or [[pair[0] for pair in results[0]]] * len(results)
    assert_close([[pair[0] for pair in row] for row in results], labels)
    assert_close([[pair[1] for pair in row] for row in results], recorded["probabilities"])


def test_regress_answers_a_number_a_row_or_a_list_of_outputs(canned: Server, case: Case) -> None:
    name, told = case
    recorded = told["predictions"]
    values = recorded.get("predictions") or recorded.get("logistic")
    if values is None:
        assert canned.post(f"{name}:regress", {"examples": told["instances"]}).status_code == 404
        return
    expected = [row[0] if len(row) == 1 else row for row in values]
    assert_close(ask(canned, name, "regress", {"examples": told["instances"]})["results"], expected)


def test_metadata_names_the_signatures(canned: Server, case: Case) -> None:
    name, told = case
    metadata = canned.call(canned.service.metadata(name))
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    expected = {"serving_default", "predict", "examples"}
    expected |= {"classification"} if "probabilities" in told["predictions"] else set()
    expected |= {"regression"} if {"predictions", "logistic"} & told["predictions"].keys() else set()
    assert set(signatures) == expected
    assert set(signatures["predict"]["outputs"]) == set(told["predictions"])


def test_context_holds_for_every_example(canned: Server) -> None:
    name = "wide_and_deep_classifier"
    [version] = canned.service.models.versions_of(name)
    assert version.export is not None
    row = version.export.examples[0]
    key, value = next(iter(row.items()))
    rest = {other: item for other, item in row.items() if other != key}
    both = ask(canned, name, "classify", {"context": {key: value}, "examples": [rest, rest]})["results"]
    assert both == ask(canned, name, "classify", {"examples": [row, row]})["results"]
