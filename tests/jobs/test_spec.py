"""What a job request becomes: defaults, limits, and the places where it is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import InvalidInput
from app.ids import new_id
from app.jobs.parse import dry_run, parse_job
from app.jobs.plan import JobLimits
from app.jobs.spec import BestMetric, LabelSpec, Missing, Promote, encode
from app.json_pointer import pointer
from tests.jobs.penguins import DATA, PENGUINS, dataset, errors, find, request, text, train_spec


def test_train_spec_is_complete() -> None:
    plan = parse_job(request(), find)
    spec = train_spec(plan)
    args = spec.estimator.args
    assert (plan.spec.type, plan.spec.model, plan.queue, plan.priority, plan.max_attempts) == (
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
    vocabulary = ("Adelie", "Chinstrap", "Gentoo")
    assert spec.labels == (LabelSpec(head=None, columns=("species",), kind="class", vocabulary=vocabulary),)
    assert [(f.name, f.dtype, f.missing) for f in spec.features] == [
        ("bill", "float32", Missing(policy="mean", value=43.9)),
        ("island", "string", Missing(policy="category", value="(missing)")),
    ]
    data = spec.data.train
    assert (data.digest, data.part, data.batch_size) == ("sha256:1", "all", 32)
    assert spec.promote == Promote(label="latest", when=None)
    assert spec.train.save_checkpoints_steps == 100
    json.dumps(encode(spec), allow_nan=False)


def test_request_is_not_changed() -> None:
    body = request()
    before = json.dumps(body)
    parse_job(body, find)
    assert json.dumps(body) == before


@pytest.mark.parametrize("body", [None, [], "x", {}, {"type": "dance"}, {"type": ["train"]}])
def test_body_without_known_type_is_refused(body: Any) -> None:
    assert list(errors(body)) == ["/type"]


def test_a_hundred_thousand_wrong_arguments_give_a_hundred_errors() -> None:
    body = request()
    body["estimator"]["args"] |= {f"k{i}": 0 for i in range(100_000)}
    with pytest.raises(InvalidInput, match="And at least 99 more") as refused:
        parse_job(body, find)
    assert len(refused.value.errors) == 100


@pytest.mark.parametrize("wide", [{f"k{i}": 0 for i in range(10_001)}, [5] * 10_001], ids=["object", "list"])
@pytest.mark.parametrize("path", [["data"], ["data", "train", "ignore"], ["estimator", "a/b"]], ids=str)
def test_wide_objects_and_lists_are_refused_as_a_whole(wide: Any, path: list[str]) -> None:
    body = request()
    place = body
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = wide
    assert errors(body) == {pointer(*path): "Has 10001 entries; at most 10000 are allowed."}


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
    assert train_spec(plan).estimator.args["optimizer"]["learning_rate"] == schedule


def test_limits_on_steps_and_values() -> None:
    body = request()
    body["train"]["max_steps"] = 10**18
    assert list(errors(body)) == ["/train/max_steps"]
    body["train"] = {}
    assert list(errors(body)) == ["/train/max_steps"]
    body["data"]["train"]["epochs"] = 3
    assert train_spec(parse_job(body, find)).data.train.epochs == 3


def test_too_many_parameters_are_refused() -> None:
    body = request(hidden_units=[1000, 1000])
    assert list(errors(body, limits=JobLimits(max_parameters=100_000))) == ["/estimator/args"]


def test_training_that_needs_more_memory_than_there_is_is_refused() -> None:
    body = request(hidden_units=[10_000, 10_000])
    # (4+1)*10,000 + 10,001*10,000 + 10,001*3 = 100,090,003 parameters of 4 bytes, four times or more: above 1.6 GB
    found = errors(body, limits=JobLimits(machine_memory_bytes=2**30))
    assert list(found) == ["/estimator/args"]
    assert "memory" in str(found)
    plan = parse_job(body, find, limits=JobLimits(machine_memory_bytes=8 * 2**30))
    assert plan.spec.memory_limit_bytes is None  # a worker has its own machine's limit
    assert list(errors(body | {"memory_limit_bytes": 2**30})) == ["/estimator/args"]


def test_holdout_leaves_statistics_to_the_training_rows() -> None:
    body = request()
    body["data"]["holdout"] = 0.2
    spec = train_spec(parse_job(body, find))
    assert spec.estimator.args["feature_columns"][0]["normalizer"] == "zscore"
    assert spec.features[0].missing == Missing(policy="mean", value=None)
    assert spec.data.train.part == "train"
    assert spec.data.eval is not None
    assert (spec.data.eval.part, spec.data.eval.dataset) == ("holdout", PENGUINS)


def test_what_needs_evaluation_data_is_refused_without() -> None:
    body = request() | {"export": "best", "promote": {"when": {"metric": "accuracy", "at_least": 0.9}}}
    body["train"] |= {"early_stopping": {"patience_steps": 5}, "evaluate_every_steps": 10}
    assert set(errors(body)) == {"/train/evaluate_every_steps", "/train/early_stopping", "/export", "/promote/when"}
    body["data"]["holdout"] = 0.3
    spec = train_spec(parse_job(body, find))
    assert spec.train.early_stopping is not None
    assert spec.train.early_stopping.mode == "min"
    assert spec.best_metric == BestMetric(metric="loss", mode="min")


def test_eval_data_must_have_the_same_columns() -> None:
    other = dataset(text("bill", "long", "short"), dataset_id=new_id("ds"))
    body = request()
    body["data"]["eval"] = {"dataset": other.id, "label": "species"}
    both = {DATA.id: DATA, other.id: other}
    assert "another kind" in errors(body, datasets=both.get)["/data/eval/dataset"]
    assert "/data/eval/dataset" in errors(body, datasets=find)


def test_promote_null_is_kept() -> None:
    assert train_spec(parse_job(request() | {"promote": None}, find)).promote is None


def test_catalogue_model_fn_reads_all_columns() -> None:
    body = request()
    body["estimator"] = {"type": "Estimator", "args": {"model_fn": "mine", "params": {"depth": 3}}}
    assert "/estimator/args/model_fn" in errors(body)
    spec = train_spec(parse_job(body, find, catalogue=["mine"]))
    assert {feature.name for feature in spec.features} == set(DATA.names) - {"species"}
    assert spec.labels[0].kind == "any"


def test_dry_run_counts_parameters() -> None:
    plan = parse_job(request(batch_norm=True), find)
    # inputs 1 + 3; (4+1)*8 + (8+1)*4 = 76, batch norm 2*(8+4) = 24, logits (4+1)*3 = 15
    assert dry_run(plan)["parameters"] == 115
    assert dry_run(plan)["memory_bytes"] > 350 * 2**20
    json.dumps(dry_run(plan))


def test_memory_limit_stands_in_the_spec_of_every_job() -> None:
    asked, operator = 2**30, 2**31
    limits = JobLimits(job_memory_bytes=operator)
    assert parse_job(request(), find).spec.memory_limit_bytes is None
    assert parse_job(request(), find, limits=limits).spec.memory_limit_bytes == operator
    plan = parse_job(request() | {"memory_limit_bytes": asked}, find, limits=limits)
    assert plan.spec.memory_limit_bytes == asked
    assert "/memory_limit_bytes" in errors(request() | {"memory_limit_bytes": 1000})  # no trainer fits in that
