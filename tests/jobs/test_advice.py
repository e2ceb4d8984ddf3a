"""What a submitter is told before the job: labels and columns that will not do what was meant."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidInput
from app.jobs.dataset import DatasetInfo
from app.jobs.parse import parse_job
from tests.jobs.penguins import PENGUINS, dataset, number, text


def plan(*columns: dict[str, Any], label: str = "y", kind: str = "DNNClassifier", rows: int = 1000, **args: Any) -> Any:
    named = {column["name"]: column for column in (number("x", 0, 9, distinct=10), *columns)}
    data = DatasetInfo(PENGUINS, "sha256:1", rows, list(named.values()))
    hidden = {"hidden_units": [4]} if kind.startswith("DNN") else {}
    body = {
        "type": "train",
        "model": "m",
        "estimator": {"type": kind, "args": {**hidden, **args}},
        "columns": "auto",
        "data": {"train": {"dataset": PENGUINS, "label": label, "batch_size": 8}},
        "train": {"max_steps": 10},
    }
    return parse_job(body, lambda named: data)


def refusal(*columns: dict[str, Any], **options: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        plan(*columns, **options)
    return caught.value.detail


def whole(name: str, low: int, high: int, distinct: int | None, **more: Any) -> dict[str, Any]:
    return number(name, low, high, dtype="int64", distinct=distinct, **more)


YES_NO = text("y", "yes", "no")


def test_labels_with_gaps_are_told() -> None:
    # 10, 20, 30: classes 0 to 30, 31 of them, of which 3 have rows.
    (warning,) = plan(whole("y", 10, 30, 3)).warnings
    assert "3 different numbers, the highest of which makes 31 classes, 28 of them without a row" in warning
    assert plan(whole("y", 0, 2, 3)).warnings == []


def test_fractions_as_classes_are_told_with_what_learns_them() -> None:
    assert "holds fractions; classes are whole numbers from 0. Use DNNRegressor" in refusal(number("y", 0, 7))
    (warning,) = plan(number("y", 0, 1, distinct=50), n_classes=2).warnings
    assert "holds fractions between 0 and 1" in warning
    assert "DNNRegressor" in warning
    assert plan(number("y", 0, 1, distinct=2), n_classes=2).warnings == []


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("DNNClassifier", "Use DNNRegressor, which learns numbers"),
        ("LinearClassifier", "Use LinearRegressor, which learns numbers"),
        ("BaselineClassifier", "Use BaselineRegressor, which learns numbers"),
    ],
)
@pytest.mark.parametrize(("high", "distinct"), [(1_250_000, None), (480_000, 700), (30_000, 9_000)])
def test_quantity_as_classes_names_the_right_estimator(kind: str, remedy: str, high: int, distinct: int | None) -> None:
    detail = refusal(whole("y", 0, high, distinct), kind=kind)
    assert "a quantity, no classes" in detail
    assert remedy in detail
    assert str(high) not in detail  # a value of the data


def test_names_as_numbers_name_the_right_estimator() -> None:
    assert "Use DNNClassifier, which learns classes by their names" in refusal(YES_NO, kind="DNNRegressor")


def test_label_of_one_value_is_told() -> None:
    assert "has a single class; at least 2 are needed" in refusal(text("y", "yes"))
    assert "one value in all rows" in plan(whole("y", 5, 5, 1), kind="DNNRegressor").warnings[0]


def test_copy_of_the_label_is_left_out_with_a_warning() -> None:
    made = plan(YES_NO | {"fingerprint": "ab"}, text("target", "yes", "no", fingerprint="ab"))
    assert made.warnings == ["Column 'target' is a copy of the label 'y' and was left out."]
    assert [feature.name for feature in made.spec.features] == ["x"]


def test_copy_that_is_named_as_a_feature_is_told() -> None:
    vocabulary = "categorical_column_with_vocabulary_list"
    words = {"type": vocabulary, "key": "target", "vocabulary_list": ["yes", "no"]}
    column = {"type": "indicator_column", "categorical_column": words}
    data = dataset(YES_NO | {"fingerprint": "ab"}, text("target", "yes", "no", fingerprint="ab"))
    body = {
        "type": "train",
        "model": "m",
        "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [4], "feature_columns": [column]}},
        "data": {"train": {"dataset": PENGUINS, "label": "y", "batch_size": 8}},
        "train": {"max_steps": 10},
    }
    (warning,) = parse_job(body, lambda named: data).warnings
    assert "Column 'target' is a copy of the label 'y': the model will read the answer from it" in warning


def test_dates_and_ids_are_left_out_with_what_to_do() -> None:
    made = plan(
        YES_NO,
        text("joined", distinct=700, vocabulary=None, looks_like="date"),
        text("customer", distinct=970, vocabulary=None),
        whole("order_id", 10_000, 99_000, 990),
        whole("größe", 10_000, 99_000, 990),
    )
    assert "Column 'joined' holds dates as text and was left out" in made.warnings[0]
    assert '{"timestamp": ["year", "month", "weekday"]}' in made.warnings[0]
    assert "Column 'customer' looks like an id" in made.warnings[1]
    assert "Column 'order_id' looks like an id" in made.warnings[2]
    assert [feature.name for feature in made.spec.features] == ["x", "größe"]


def test_column_that_takes_most_parameters_is_told() -> None:
    # 50,000 texts: 100,000 buckets, and an embedding of min(64, 1.6 * 50,000 ** 0.56) = 64 values each.
    made = plan(YES_NO, text("town", distinct=50_000, vocabulary=None), rows=100_000)
    (warning,) = made.warnings
    # and of the first layer 64 inputs to 4 units: 6,400,000 + 256
    assert "Column 'town' takes 6400256 of the model's" in warning
    assert "It has 50000 different values." in warning


def test_no_feature_is_left_says_what_became_of_each_column() -> None:
    detail = refusal(
        YES_NO, text("joined", distinct=700, vocabulary=None, looks_like="date"), whole("x", 5, 5, 1), label="y"
    )
    assert detail.startswith(
        "/estimator/args: No feature is left to learn from. Of the data set's columns, 'y' is the label."
    )
    assert "Column 'x' has a single value and was left out" in detail
    assert "Column 'joined' holds dates as text" in detail
