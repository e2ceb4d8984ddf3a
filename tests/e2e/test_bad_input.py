"""What a user gets who makes a mistake: the place, what was expected, how to mend it; and nothing half-made."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import RunningService
from tests.e2e.penguins import INSTANCES, KNOWN_CSV, train_job


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    at = body
    *parents, last = path.split("/")
    for name in parents:
        at = at[name]
    at[last] = value
    return body


@pytest.fixture(scope="module")
def service(embedded: RunningService) -> RunningService:
    """What is wrong is found before the registry is asked: its kind makes no difference."""
    return embedded


JOBS: list[tuple[str, str, Any, str]] = [
    ("unknown label column", "data/train/label", "specie", "/data/train/label"),
    ("unknown dataset", "data/train/dataset", "ds_00000000000000000000000000", "/data/train/dataset"),
    ("unknown estimator", "estimator/type", "DNNClasifier", "/estimator/type"),
    ("unknown estimator argument", "estimator/args/hiden_units", [4], "/estimator/args/hiden_units"),
    ("negative rate", "estimator/args/optimizer/learning_rate", -1.0, "/estimator/args/optimizer/learning_rate"),
    ("a billion units", "estimator/args/hidden_units", [10**9], "/estimator/args/hidden_units/0"),
    (
        "label not in vocabulary",
        "estimator/args/label_vocabulary",
        ["Adelie", "Gentoo"],
        "/data/train/label",
    ),
    ("unknown field", "colour", "red", "/colour"),
    ("no steps", "train/max_steps", 0, "/train/max_steps"),
]


@pytest.mark.parametrize(("what", "path", "value", "pointer"), JOBS, ids=[job[0] for job in JOBS])
def test_wrong_job_is_refused_at_its_place(
    service: RunningService, what: str, path: str, value: Any, pointer: str
) -> None:
    dataset = service.dataset("penguins", KNOWN_CSV)
    before = service.get("/v1/jobs")["jobs"]

    answer = service.http.post("/v1/jobs", json=changed(train_job(dataset, "wrong"), path, value))

    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert "Traceback" not in answer.text
    assert service.get("/v1/jobs")["jobs"] == before


def test_columns_that_do_not_fit_the_data_are_named(service: RunningService) -> None:
    dataset = service.dataset("penguins", KNOWN_CSV)
    body = train_job(dataset, "wrong")
    del body["columns"]
    body["estimator"]["args"]["feature_columns"] = [
        {"type": "numeric_column", "key": "beak_length"},
        {"type": "numeric_column", "key": "island"},
    ]

    answer = service.http.post("/v1/jobs", json=body)

    assert answer.status_code == 422
    pointers = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    assert "beak_length" in pointers["/estimator/args/feature_columns/0/key"]
    assert "island" in pointers["/estimator/args/feature_columns/1/key"]


@pytest.mark.parametrize(
    ("content", "file", "words"),
    [
        (b"", "empty.csv", "empty"),
        (b"a,b\n", "header.csv", "row"),
        (b"a,b\n1,2\n3\n", "ragged.csv", "line 3"),
        (b"a,a\n1,2\n", "twice.csv", "a"),
        (b'a,b\n1,"2\n', "quote.csv", "quote"),
        (b'{"a": 1}\n{"a": \n', "broken.jsonl", "line 2"),
        (b"PAR1nonsense", "broken.parquet", "parquet"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_file_is_refused_with_its_place(service: RunningService, content: bytes, file: str, words: str) -> None:
    before = {row["id"] for row in service.get("/v1/datasets")["datasets"]}
    directories = set((service.data_dir / "artifacts" / "datasets").glob("*"))

    answer = service.upload("wrong", content, file)

    assert answer.status_code == 422, answer.text
    assert words in answer.text.lower()
    assert {row["id"] for row in service.get("/v1/datasets")["datasets"]} == before
    assert set((service.data_dir / "artifacts" / "datasets").glob("*")) == directories


def test_wrong_predict_names_feature_and_instance(service: RunningService) -> None:
    dataset = service.dataset("penguins", KNOWN_CSV)
    service.succeeded(service.submit(train_job(dataset, "asked", 500)))
    good = INSTANCES[0]
    wrong = [
        ({**good, "bill_length_mm": "long"}, "bill_length_mm"),
        ({**good, "bill_length_mm": [1.0, 2.0]}, "bill_length_mm"),
        ({**good, "wings": 2}, "wings"),
    ]
    for instance, feature in wrong:
        answer = service.http.post("/v1/models/asked:predict", json={"instances": [good, instance]})
        assert answer.status_code == 422, answer.text
        assert feature in answer.text
        assert "1" in answer.json()["errors"][0]["pointer"]
        assert "error" in answer.json()
    assert service.http.post("/v1/models/nobody:predict", json={"instances": [good]}).status_code == 404
