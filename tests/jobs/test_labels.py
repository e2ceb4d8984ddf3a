"""Labels and weights against the data and the head."""

from __future__ import annotations

from typing import Any

import pytest

from app.jobs.parse import dry_run, parse_job
from tests.jobs.penguins import dataset, errors, find, number, request, text, train_spec


@pytest.mark.parametrize(
    ("label", "args", "word"),
    [
        ("beak", {}, "no column 'beak'"),
        (None, {}, "Name the label"),
        ("one", {}, "single class"),
        ("minus", {}, "under 0"),
        ("gaps", {}, "3 nulls"),
        ("bill_full", {}, "fractions"),
        ("species", {"label_vocabulary": ["Adelie", "Gentoo"], "n_classes": 2}, "1 values that are not in"),
        ("species", {"n_classes": 2}, "needs 3 classes"),
        ("species", {"n_classes": 4}, "label_vocabulary has 3 values"),
        ("year", {"n_classes": 3}, "needs 2010 classes"),
        ({"a": "species"}, {}, "Only a MultiHead"),
    ],
)
def test_label_that_does_not_fit_is_told(label: Any, args: dict[str, Any], word: str) -> None:
    data = dataset(
        text("one", "a"),
        number("minus", -1, 3, dtype="int64"),
        text("gaps", "a", "b", nulls=3),
        number("bill_full", 1, 2),
    )
    body = request(**args)
    body["data"]["train"]["label"] = label
    found = errors(body, datasets=lambda _: data)
    assert any(word in detail for pointer, detail in found.items() if pointer == "/data/train/label"), found


def test_binary_number_label_gives_two_classes() -> None:
    body = request()
    body["data"]["train"]["label"] = "heavy"
    args = train_spec(parse_job(body, find)).estimator.args
    assert (args["n_classes"], args["label_vocabulary"]) == (2, None)


def test_rows_without_label_can_be_dropped() -> None:
    body = request()
    body["data"]["train"] |= {"label": "sex", "missing": {"sex": "drop"}}
    assert train_spec(parse_job(body, find)).estimator.args["label_vocabulary"] == ["female", "male"]


def test_regressor_refuses_text_label_and_counts_dimensions() -> None:
    body = request()
    body["estimator"]["type"] = "DNNRegressor"
    assert "/data/train/label" in errors(body)
    body["data"]["train"]["label"] = ["mass", "year"]
    assert train_spec(parse_job(body, find)).estimator.args["label_dimension"] == 2


def test_multi_head_takes_a_label_per_head() -> None:
    body = request(
        head={
            "type": "MultiHead",
            "heads": [{"type": "MultiClassHead", "name": "kind"}, {"type": "RegressionHead", "name": "weight"}],
        }
    )
    body["estimator"]["type"] = "DNNEstimator"
    assert "object" in errors(body)["/data/train/label"]
    body["data"]["train"]["label"] = {"kind": "species", "weight": "mass"}
    plan = parse_job(body, find)
    assert train_spec(plan).estimator.args["head"]["heads"][0]["n_classes"] == 3
    assert [label.head for label in train_spec(plan).labels] == ["kind", "weight"]
    # 4 inputs: (4+1)*8 + (8+1)*4 = 76; the last layer (4+1) * (3+1 logits) = 20
    assert dry_run(plan)["parameters"] == 96


def test_multi_label_reads_lists_of_words() -> None:
    body = request(head={"type": "MultiLabelHead"})
    body["estimator"]["type"] = "DNNEstimator"
    body["data"]["train"]["label"] = "words"
    head = train_spec(parse_job(body, find)).estimator.args["head"]
    assert (head["n_classes"], head["label_vocabulary"]) == (3, ["bad", "good", "ugly"])


def test_weight_column_is_checked_and_passed_on() -> None:
    body = request()
    body["data"]["train"]["weight"] = "island"
    assert "number" in errors(body)["/data/train/weight"]
    body["data"]["train"]["weight"] = "year"
    plan = parse_job(body, find)
    assert train_spec(plan).weight == train_spec(plan).estimator.args["weight_column"] == "year"
