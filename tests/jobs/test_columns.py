"""Feature columns against the data, and what is done about missing values."""

from __future__ import annotations

from typing import Any

import pytest

from app.jobs.parse import parse_job
from app.jobs.spec import Missing
from tests.jobs.penguins import dataset, errors, find, number, request, train_spec, with_columns


def test_too_many_columns_are_refused() -> None:
    body = with_columns(*[{"type": "numeric_column", "key": "bill"}] * 10_001)
    assert list(errors(body)) == ["/estimator/args/feature_columns"]


@pytest.mark.parametrize(
    ("column", "at", "word"),
    [
        ({"type": "numeric_column", "key": "beak"}, "key", "no column 'beak'"),
        ({"type": "numeric_column", "key": "island"}, "key", "text"),
        ({"type": "numeric_column", "key": "words"}, "key", "text"),
        ({"type": "numeric_column", "key": "species"}, "key", "the label"),
        ({"type": "numeric_column", "key": "bill", "shape": [3]}, "shape", "3 values"),
        ({"type": "numeric_column", "key": "empty"}, "key", "nulls only"),
        ({"type": "categorical_column_with_hash_bucket", "key": "island", "hash_bucket_size": 9}, "", "embedding"),
        (
            {
                "type": "bucketized_column",
                "source_column": {"type": "numeric_column", "key": "bill"},
                "boundaries": [2, 1],
            },
            "boundaries",
            "rise",
        ),
    ],
)
def test_column_that_does_not_fit_the_data_is_named(column: dict[str, Any], at: str, word: str) -> None:
    data = dataset(number("empty", 0, 0, nulls=100, min=None, max=None, mean=None))
    found = errors(with_columns(column), datasets=lambda _: data)
    assert word in found["/estimator/args/feature_columns/0" + ("/" + at if at else "")]


@pytest.mark.parametrize(
    ("inner", "at", "word"),
    [
        ({"type": "categorical_column_with_identity", "key": "year", "num_buckets": 10}, "num_buckets", "outside"),
        ({"type": "categorical_column_with_identity", "key": "island", "num_buckets": 10}, "key", "text"),
        ({"type": "categorical_column_with_hash_bucket", "key": "bill", "hash_bucket_size": 5}, "key", "fractions"),
        ({"type": "categorical_column_with_vocabulary_list", "key": "year", "vocabulary_list": ["a"]},
         "vocabulary_list", "whole numbers"),
        ({"type": "categorical_column_with_vocabulary_list", "key": "island", "vocabulary_list": ["a", "a"]},
         "vocabulary_list", "twice"),
        ({"type": "sequence_categorical_column_with_hash_bucket", "key": "island", "hash_bucket_size": 5},
         "key", "lists"),
        ({"type": "numeric_column", "key": "bill"}, "", "categorical"),
    ],
)  # fmt: skip
def test_categorical_column_that_does_not_fit_is_named(inner: dict[str, Any], at: str, word: str) -> None:
    found = errors(with_columns({"type": "indicator_column", "categorical_column": inner}))
    assert word in found["/estimator/args/feature_columns/0/categorical_column" + ("/" + at if at else "")]


def test_whole_number_categories_get_their_dtype() -> None:
    inner = {"type": "categorical_column_with_hash_bucket", "key": "year", "hash_bucket_size": 5}
    plan = parse_job(with_columns({"type": "indicator_column", "categorical_column": inner}), find)
    assert train_spec(plan).estimator.args["feature_columns"][0]["categorical_column"]["dtype"] == "int64"
    assert train_spec(plan).features[0].dtype == "int64"
    assert train_spec(plan).features[0].missing == Missing(policy="constant", value=-1)


def test_ignored_and_unknown_columns_are_told() -> None:
    body = request()
    body["data"]["train"] |= {"ignore": ["bill", "beak"], "missing": {"nose": "mean"}}
    assert set(errors(body)) == {
        "/estimator/args/feature_columns/0/key",
        "/data/train/ignore/1",
        "/data/train/missing/nose",
    }


@pytest.mark.parametrize(
    ("policy", "recorded"),
    [
        ("zero", {"policy": "constant", "value": 0}),
        ({"constant": 1.5}, {"policy": "constant", "value": 1.5}),
        ("drop", {"policy": "drop", "value": None}),
        ("category", {"policy": "constant", "value": -1}),
    ],
)
def test_missing_policy_is_recorded(policy: Any, recorded: dict[str, Any]) -> None:
    body = request()
    body["data"]["train"]["missing"] = {"bill": policy}
    assert train_spec(parse_job(body, find)).features[0].missing.model_dump() == recorded


@pytest.mark.parametrize(("name", "policy"), [("island", "mean"), ("island", "empty"), ("bill", "error")])
def test_missing_policy_that_does_not_fit_is_refused(name: str, policy: str) -> None:
    body = request()
    body["data"]["train"]["missing"] = {name: policy}
    assert list(errors(body)) == [f"/data/train/missing/{name}"]
