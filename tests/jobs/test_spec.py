from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import InvalidInput
from app.ids import new_id
from app.jobs.plan import Limits, Source
from app.jobs.spec import dry_run, parse_job
from tests.jobs.penguins import PENGUINS, FakeSources, dataset, number, request, text

DATA = dataset()


def find(dataset_id: str, data: Any = DATA) -> Any:
    return data if dataset_id == data.id else None


def errors(body: Any, **kwargs: Any) -> dict[str, str]:
    """Pointer to detail of a body that is refused."""
    with pytest.raises(InvalidInput) as caught:
        parse_job(body, kwargs.pop("datasets", find), **kwargs)
    return {error.pointer: error.detail for error in caught.value.errors}


def with_columns(*columns: dict[str, Any]) -> dict[str, Any]:
    return request(feature_columns=list(columns))


def test_train_spec_is_complete() -> None:
    plan = parse_job(request(), find)
    args = plan.spec["estimator"]["args"]
    assert (plan.type, plan.model, plan.queue, plan.priority, plan.max_attempts) == (
        "train",
        "penguins",
        "default",
        5,
        3,
    )
    assert args["n_classes"] == 3
    assert args["label_vocabulary"] == ["Adelie", "Chinstrap", "Gentoo"]
    assert args["loss_reduction"].upper() == "SUM_OVER_BATCH_SIZE"
    assert args["feature_columns"][0]["normalizer"] == {"mean": 43.9, "stddev": 5.5}
    assert plan.spec["labels"] == [
        {"head": None, "columns": ["species"], "kind": "class", "vocabulary": args["label_vocabulary"]}
    ]
    assert [(f["name"], f["dtype"], f["missing"]) for f in plan.spec["features"]] == [
        ("bill", "float32", {"policy": "mean", "value": 43.9}),
        ("island", "string", {"policy": "category", "value": "(missing)"}),
    ]
    assert (
        plan.spec["data"]["train"] | {"digest": "sha256:1", "part": "all", "batch_size": 32}
        == plan.spec["data"]["train"]
    )
    assert plan.spec["promote"] == {"label": "latest", "when": None}
    assert plan.spec["train"]["save_checkpoints_steps"] == 100
    json.dumps(plan.spec, allow_nan=False)


def test_request_is_not_changed() -> None:
    body = request()
    before = json.dumps(body)
    parse_job(body, find)
    assert json.dumps(body) == before


@pytest.mark.parametrize("body", [None, [], "x", {}, {"type": "dance"}, {"type": ["train"]}])
def test_body_without_known_type_is_refused(body: Any) -> None:
    assert list(errors(body)) == ["/type"]


def test_unknown_fields_are_refused_everywhere() -> None:
    body = request(hiden_units=[1])
    body["uri"] = "file:///etc/passwd"
    body["data"]["train"]["source"] = "s3://other"
    assert set(errors(body)) == {"/uri", "/data/train/source"}
    del body["uri"], body["data"]["train"]["source"]
    assert "feature_columns" in errors(body)["/estimator/args/hiden_units"]


@pytest.mark.parametrize(
    ("args", "at"),
    [
        ({"hidden_units": [10**9]}, "hidden_units/0"),
        ({"hidden_units": [0]}, "hidden_units/0"),
        ({"hidden_units": [1.5]}, "hidden_units/0"),
        ({"hidden_units": [True]}, "hidden_units/0"),
        ({"hidden_units": "64"}, "hidden_units"),
        ({"optimizer": {"type": "Adam", "learning_rate": float("nan")}}, "optimizer/learning_rate"),
        ({"optimizer": {"type": "Adam", "learning_rate": -0.1}}, "optimizer/learning_rate"),
        ({"optimizer": {"type": "Adam", "learning_rate": float("inf")}}, "optimizer/learning_rate"),
        ({"optimizer": {"type": "Adam", "learning_rat": 0.1}}, "optimizer/learning_rat"),
        ({"optimizer": {"type": "Nonsense"}}, "optimizer/type"),
        ({"optimizer": "Nonsense"}, "optimizer"),
        ({"activation_fn": "os.system"}, "activation_fn"),
        ({"dropout": 1.0}, "dropout"),
        ({"n_classes": 1}, "n_classes"),
        ({"n_classes": 2**63}, "n_classes"),
        ({"model_dir": "/etc"}, "model_dir"),
        ({"loss_reduction": "NONE"}, "loss_reduction"),
    ],
)
def test_wrong_estimator_argument_is_named(args: dict[str, Any], at: str) -> None:
    assert f"/estimator/args/{at}" in errors(request(**args))


def test_learning_rate_schedule_is_taken() -> None:
    schedule = {"type": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}
    plan = parse_job(request(optimizer={"type": "Adam", "learning_rate": schedule}), find)
    assert plan.spec["estimator"]["args"]["optimizer"]["learning_rate"] == schedule


def test_limits_on_steps_and_values() -> None:
    body = request()
    body["train"]["max_steps"] = 10**18
    assert list(errors(body)) == ["/train/max_steps"]
    body["train"] = {}
    assert list(errors(body)) == ["/train/max_steps"]
    body["data"]["train"]["epochs"] = 3
    assert parse_job(body, find).spec["data"]["train"]["epochs"] == 3


def test_too_many_parameters_are_refused() -> None:
    body = request(hidden_units=[1000, 1000])
    assert list(errors(body, limits=Limits(max_parameters=100_000))) == ["/estimator/args"]


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
    assert plan.spec["estimator"]["args"]["feature_columns"][0]["categorical_column"]["dtype"] == "int64"
    assert plan.spec["features"][0]["dtype"] == "int64"
    assert plan.spec["features"][0]["missing"] == {"policy": "constant", "value": -1}


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
    args = parse_job(body, find).spec["estimator"]["args"]
    assert (args["n_classes"], args["label_vocabulary"]) == (2, None)


def test_rows_without_label_can_be_dropped() -> None:
    body = request()
    body["data"]["train"] |= {"label": "sex", "missing": {"sex": "drop"}}
    assert parse_job(body, find).spec["estimator"]["args"]["label_vocabulary"] == ["female", "male"]


def test_regressor_refuses_text_label_and_counts_dimensions() -> None:
    body = request()
    body["estimator"]["type"] = "DNNRegressor"
    assert "/data/train/label" in errors(body)
    body["data"]["train"]["label"] = ["mass", "year"]
    assert parse_job(body, find).spec["estimator"]["args"]["label_dimension"] == 2


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
    assert plan.spec["estimator"]["args"]["head"]["heads"][0]["n_classes"] == 3
    assert [label["head"] for label in plan.spec["labels"]] == ["kind", "weight"]
    # 4 inputs: (4+1)*8 + (8+1)*4 = 76; the last layer (4+1) * (3+1 logits) = 20
    assert dry_run(plan)["parameters"] == 96


def test_multi_label_reads_lists_of_words() -> None:
    body = request(head={"type": "MultiLabelHead"})
    body["estimator"]["type"] = "DNNEstimator"
    body["data"]["train"]["label"] = "words"
    head = parse_job(body, find).spec["estimator"]["args"]["head"]
    assert (head["n_classes"], head["label_vocabulary"]) == (3, ["bad", "good", "ugly"])


def test_weight_column_is_checked_and_passed_on() -> None:
    body = request()
    body["data"]["train"]["weight"] = "island"
    assert "number" in errors(body)["/data/train/weight"]
    body["data"]["train"]["weight"] = "year"
    plan = parse_job(body, find)
    assert plan.spec["weight"] == plan.spec["estimator"]["args"]["weight_column"] == "year"


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
    assert parse_job(body, find).spec["features"][0]["missing"] == recorded


@pytest.mark.parametrize(("name", "policy"), [("island", "mean"), ("island", "empty"), ("bill", "error")])
def test_missing_policy_that_does_not_fit_is_refused(name: str, policy: str) -> None:
    body = request()
    body["data"]["train"]["missing"] = {name: policy}
    assert list(errors(body)) == [f"/data/train/missing/{name}"]


def test_holdout_leaves_statistics_to_the_training_rows() -> None:
    body = request()
    body["data"]["holdout"] = 0.2
    spec = parse_job(body, find).spec
    assert spec["estimator"]["args"]["feature_columns"][0]["normalizer"] == "zscore"
    assert spec["features"][0]["missing"] == {"policy": "mean", "value": None}
    assert spec["data"]["train"]["part"] == "train"
    assert (spec["data"]["eval"]["part"], spec["data"]["eval"]["dataset"]) == ("holdout", PENGUINS)


def test_what_needs_evaluation_data_is_refused_without() -> None:
    body = request() | {"export": "best", "promote": {"when": {"metric": "accuracy", "at_least": 0.9}}}
    body["train"] |= {"early_stopping": {"patience_steps": 5}, "evaluate_every_steps": 10}
    assert set(errors(body)) == {"/train/evaluate_every_steps", "/train/early_stopping", "/export", "/promote/when"}
    body["data"]["holdout"] = 0.3
    spec = parse_job(body, find).spec
    assert spec["train"]["early_stopping"]["mode"] == "min"
    assert spec["best_metric"] == {"metric": "loss", "mode": "min"}


def test_eval_data_must_have_the_same_columns() -> None:
    other = dataset(text("bill", "long", "short"), dataset_id=new_id("ds"))
    body = request()
    body["data"]["eval"] = {"dataset": other.id, "label": "species"}
    both = {DATA.id: DATA, other.id: other}
    assert "another kind" in errors(body, datasets=both.get)["/data/eval/dataset"]
    assert "/data/eval/dataset" in errors(body, datasets=find)


def test_promote_null_is_kept() -> None:
    assert parse_job(request() | {"promote": None}, find).spec["promote"] is None


def source() -> Source:
    return Source(new_id("job"), 100, new_id("ckpt"), parse_job(request(), find).spec, "penguins", 3)


def test_evaluate_of_a_version_carries_what_the_worker_needs() -> None:
    trained = source()
    body = {
        "type": "evaluate",
        "model": "penguins",
        "version": 3,
        "data": {"eval": {"dataset": PENGUINS}},
        "name": "again",
    }
    spec = parse_job(body, find, FakeSources(trained)).spec
    assert spec["source"] == {
        "job": trained.job, "step": 100, "checkpoint": trained.checkpoint, "model": "penguins", "version": 3
    }  # fmt: skip
    assert spec["train_spec"] == trained.spec
    assert spec["data"]["eval"]["labels"] == trained.spec["labels"]
    assert (spec["name"], spec["steps"], spec["data"]["eval"]["batch_size"]) == ("again", None, 256)


def test_source_must_be_named_once_and_exist() -> None:
    trained, data = source(), {"eval": {"dataset": PENGUINS}}
    find_source = FakeSources(trained)
    assert "" in errors({"type": "evaluate", "data": data}, models=find_source)
    assert "/model" in errors({"type": "evaluate", "model": "other", "data": data}, models=find_source)
    both = {"checkpoint": trained.checkpoint, "job": trained.job}
    assert "" in errors({"type": "evaluate", "data": data} | both, models=find_source)


def test_export_and_predict_jobs_are_planned() -> None:
    trained = source()
    spec = parse_job({"type": "export", "job": trained.job, "step": 100}, find, FakeSources(trained)).spec
    assert (spec["model"], spec["promote"]["label"]) == ("penguins", "latest")
    body = {"type": "predict", "checkpoint": trained.checkpoint, "data": {"predict": {"dataset": PENGUINS}}}
    plan = parse_job(body, find, FakeSources(trained))
    assert plan.spec["data"]["predict"]["digest"] == "sha256:1"


def test_warm_start_is_resolved() -> None:
    trained = source()
    body = request() | {"warm_start_from": {"model": "penguins", "version": 3}}
    assert parse_job(body, find, FakeSources(trained)).spec["warm_start_from"]["checkpoint"] == trained.checkpoint


def test_catalogue_model_fn_reads_all_columns() -> None:
    body = request()
    body["estimator"] = {"type": "Estimator", "args": {"model_fn": "mine", "params": {"depth": 3}}}
    assert "/estimator/args/model_fn" in errors(body)
    spec = parse_job(body, find, catalogue=["mine"]).spec
    assert {feature["name"] for feature in spec["features"]} == set(DATA.names) - {"species"}
    assert spec["labels"][0]["kind"] == "any"


def test_dry_run_counts_parameters() -> None:
    plan = parse_job(request(batch_norm=True), find)
    # inputs 1 + 3; (4+1)*8 + (8+1)*4 = 76, batch norm 2*(8+4) = 24, logits (4+1)*3 = 15
    assert dry_run(plan)["parameters"] == 115
    assert dry_run(plan)["memory_bytes"] > 350 * 2**20
    json.dumps(dry_run(plan))


def test_memory_limit_stands_in_the_spec_of_every_job() -> None:
    asked, operator = 2**30, 2**31
    limits = Limits(job_memory_bytes=operator)
    assert parse_job(request(), find).spec["memory_limit_bytes"] is None
    assert parse_job(request(), find, limits=limits).spec["memory_limit_bytes"] == operator
    plan = parse_job(request() | {"memory_limit_bytes": asked}, find, limits=limits)
    assert plan.spec["memory_limit_bytes"] == asked
    assert "/memory_limit_bytes" in errors(request() | {"memory_limit_bytes": 1000})  # no trainer fits in that
