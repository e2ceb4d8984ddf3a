from __future__ import annotations

from typing import Any

import pytest

from app.jobs import parameters
from app.jobs.parse import JobPlan, parse_job
from tests.jobs.penguins import dataset, number, request, text, train_spec


def auto(kind: str, *extra: dict[str, Any], **args: Any) -> JobPlan:
    body = request()
    body |= {"estimator": {"type": kind, "args": args}, "columns": "auto"}
    data = dataset(*extra)
    return parse_job(body, lambda _: data)


def kinds(columns: list[dict[str, Any]]) -> dict[str, str]:
    """Data column to the outermost feature column's type."""
    return {(c.get("key") or c["categorical_column"]["key"]): c["type"] for c in columns}


def test_dense_estimator_gets_normalized_numbers_and_indicators() -> None:
    plan = auto("DNNClassifier", hidden_units=[4])
    columns = train_spec(plan).estimator.args["feature_columns"]
    assert kinds(columns) == {
        "bill": "numeric_column",
        "mass": "numeric_column",
        "island": "indicator_column",
        "sex": "indicator_column",
        "year": "numeric_column",
        "words": "indicator_column",
        "heavy": "numeric_column",
    }
    sex = next(c for c in columns if c["type"] == "indicator_column" and c["categorical_column"]["key"] == "sex")
    assert sex["categorical_column"]["vocabulary_list"] == ["male", "female", "(missing)"]
    assert any("'row'" in warning for warning in plan.warnings)


def test_many_values_get_embeddings() -> None:
    city = text("city", *[f"c{i}" for i in range(60)])
    user = text("user", distinct=90_000, vocabulary=None)
    columns = train_spec(auto("DNNClassifier", city, user, hidden_units=[4])).estimator.args["feature_columns"]
    embeddings = {c["categorical_column"]["key"]: c for c in columns if c["type"] == "embedding_column"}
    # 1.6 * 60 ** 0.56 = 15.8; 1.6 * 90000 ** 0.56 = 951, cut at 64
    assert embeddings["city"]["dimension"] == 16
    assert embeddings["user"]["dimension"] == 64
    assert embeddings["user"]["categorical_column"]["hash_bucket_size"] == 180_000


def test_linear_estimator_gets_plain_categories() -> None:
    columns = train_spec(auto("LinearClassifier")).estimator.args["feature_columns"]
    assert kinds(columns)["island"] == "categorical_column_with_vocabulary_list"


def test_combined_estimator_gets_both() -> None:
    args = train_spec(auto("DNNLinearCombinedClassifier", dnn_hidden_units=[4])).estimator.args
    assert kinds(args["linear_feature_columns"])["sex"] == "categorical_column_with_vocabulary_list"
    assert kinds(args["dnn_feature_columns"])["bill"] == "numeric_column"


def test_rnn_gets_sequences_and_context() -> None:
    args = train_spec(auto("RNNClassifier", units=[4], cell_type="gru")).estimator.args
    assert kinds(args["sequence_feature_columns"]) == {"words": "indicator_column"}
    inner = args["sequence_feature_columns"][0]["categorical_column"]
    assert inner["type"] == "sequence_categorical_column_with_vocabulary_list"
    assert "bill" in kinds(args["context_feature_columns"])


@pytest.mark.parametrize("kind", ["BaselineClassifier", "LinearClassifier"])
def test_constant_and_empty_columns_are_left_out_with_a_warning(kind: str) -> None:
    empty = number("empty", 0, 0, nulls=100, min=None, max=None, mean=None)
    plan = auto(kind, text("same", "x"), empty)
    if kind == "LinearClassifier":
        assert not {"same", "empty"} & {feature.name for feature in train_spec(plan).features}
        assert sum("'same'" in w or "'empty'" in w for w in plan.warnings) == 2
    assert train_spec(plan).features


def test_parameters_of_wide_and_recurrent_models() -> None:
    occupation = {"type": "categorical_column_with_hash_bucket", "key": "o", "hash_bucket_size": 10}
    wide = {
        "n_classes": 2,
        "dnn_hidden_units": [8, 4],
        "linear_feature_columns": [occupation],
        "dnn_feature_columns": [
            {"type": "numeric_column", "key": "x"},
            {"type": "embedding_column", "categorical_column": occupation, "dimension": 3},
        ],
    }
    # table 10*3 = 30; (4+1)*8 + (8+1)*4 + (4+1)*1 = 81; linear 10 + bias 1 = 11
    assert parameters.count(wide) == 122
    lstm = {
        "n_classes": 2,
        "units": [6],
        "cell_type": "simple_rnn",
        "sequence_feature_columns": [{"type": "sequence_numeric_column", "key": "s"}],
    }
    # 6 * (1 + 6 + 2) = 54, logits 7
    assert parameters.count(lstm) == 61
