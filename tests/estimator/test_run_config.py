"""RunConfig: fields, their limits, and the cluster of TF_CONFIG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import tf_estimator as est

CLUSTER = {"chief": ["h0:1"], "worker": ["h1:1", "h2:1"], "ps": ["h3:1", "h4:1"]}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)


def environment(monkeypatch: pytest.MonkeyPatch, **value: Any) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps(value))


def test_defaults() -> None:
    config = est.RunConfig()
    expected = {
        "model_dir": None, "tf_random_seed": None, "save_summary_steps": 100, "save_checkpoints_steps": None,
        "save_checkpoints_secs": 600, "session_config": None, "keep_checkpoint_max": 5,
        "keep_checkpoint_every_n_hours": 10000, "log_step_count_steps": 100, "train_distribute": None,
        "device_fn": None, "protocol": None, "eval_distribute": None, "experimental_distribute": None,
        "experimental_max_worker_delay_secs": None, "session_creation_timeout_secs": 7200,
        "checkpoint_save_graph_def": True, "task_type": "worker", "task_id": 0, "is_chief": True, "master": "",
        "evaluation_master": "", "num_ps_replicas": 0, "num_worker_replicas": 1, "global_id_in_cluster": 0,
        "service": None,
    }  # fmt: skip
    assert {name: getattr(config, name) for name in expected} == expected
    assert config.cluster_spec.as_dict() == {}


def test_checkpoint_intervals_exclude_each_other() -> None:
    assert est.RunConfig(save_checkpoints_steps=5).save_checkpoints_secs is None
    assert est.RunConfig(save_checkpoints_secs=5).save_checkpoints_steps is None
    both = est.RunConfig(save_checkpoints_steps=None, save_checkpoints_secs=None)
    assert both.save_checkpoints_steps is both.save_checkpoints_secs is None
    with pytest.raises(ValueError, match="not both"):
        est.RunConfig(save_checkpoints_steps=5, save_checkpoints_secs=5)
    assert est.RunConfig().replace(save_checkpoints_steps=7).save_checkpoints_secs is None
    with pytest.raises(ValueError, match="not both"):
        est.RunConfig().replace(save_checkpoints_steps=7, save_checkpoints_secs=7)


def test_replace_copies_and_fields_are_fixed() -> None:
    config = est.RunConfig(tf_random_seed=1)
    other = config.replace(model_dir="/a", tf_random_seed=2)
    assert (config.model_dir, config.tf_random_seed) == (None, 1)
    assert (other.model_dir, other.tf_random_seed) == ("/a", 2)
    with pytest.raises(ValueError, match="no field"):
        config.replace(is_chief=False)
    with pytest.raises(AttributeError, match="replace"):
        config.model_dir = "/b"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="nothing"):
        config.nothing


@pytest.mark.parametrize(
    "field",
    [
        {"save_summary_steps": -1}, {"save_checkpoints_steps": -1}, {"save_checkpoints_secs": -1},
        {"keep_checkpoint_max": -1}, {"keep_checkpoint_every_n_hours": 0}, {"log_step_count_steps": 0},
        {"tf_random_seed": 1.5}, {"device_fn": "cpu"}, {"protocol": "http"}, {"session_creation_timeout_secs": 0},
        {"model_dir": ""},
    ],
    ids=lambda f: next(iter(f)),
)  # fmt: skip
def test_values_out_of_range_are_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        est.RunConfig(**field)


# Order of ids: chief, workers, ps.
@pytest.mark.parametrize(
    ("task", "index", "chief", "number"),
    [("chief", 0, True, 0), ("worker", 0, False, 1), ("worker", 1, False, 2), ("ps", 1, False, 4)],
)
def test_cluster_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, task: str, index: int, chief: bool, number: int
) -> None:
    environment(monkeypatch, cluster=CLUSTER, task={"type": task, "index": index}, service={"a": 1})
    config = est.RunConfig()
    assert (config.task_type, config.task_id, config.is_chief) == (task, index, chief)
    assert config.global_id_in_cluster == number
    assert (config.num_worker_replicas, config.num_ps_replicas) == (3, 2)
    assert config.master == "grpc://" + CLUSTER[task][index]
    assert config.service == {"a": 1}
    assert config.cluster_spec.as_dict() == CLUSTER


def test_evaluator_has_no_place_in_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, cluster=CLUSTER, task={"type": "evaluator", "index": 0})
    config = est.RunConfig()
    assert (config.task_type, config.is_chief, config.global_id_in_cluster, config.master) == (
        "evaluator",
        False,
        None,
        "",
    )


def test_first_worker_leads_without_a_chief(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, cluster={"worker": ["a:1", "b:1"]}, task={"type": "worker", "index": 0})
    workers = tf.distribute.OneDeviceStrategy("/cpu:0")
    assert est.RunConfig(train_distribute=workers).is_chief
    with pytest.raises(ValueError, match="has no chief"):
        est.RunConfig()
    environment(monkeypatch, cluster={"worker": ["a:1", "b:1"]}, task={"type": "worker", "index": 1})
    assert not est.RunConfig(train_distribute=workers).is_chief


@pytest.mark.parametrize(
    "value",
    [
        {"cluster": CLUSTER},
        {"cluster": CLUSTER, "task": {"type": "worker", "index": 2}},
        {"cluster": {"chief": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 0}},
        {"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}},
        {"task": {"type": "ps", "index": 0}},
        {"cluster": CLUSTER, "task": {"type": "worker", "index": -1}},
    ],
)
def test_clusters_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch, value: dict[str, Any]) -> None:
    environment(monkeypatch, **value)
    with pytest.raises(ValueError, match="TF_CONFIG"):
        est.RunConfig()


def test_environment_that_is_not_json_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("{", "[]"):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(ValueError, match="TF_CONFIG"):
            est.RunConfig()


def test_model_dir_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, model_dir="/m")
    assert est.RunConfig().model_dir == est.RunConfig(model_dir="/m").model_dir == "/m"
    with pytest.raises(ValueError, match="TF_CONFIG"):
        est.RunConfig(model_dir="/other")


def test_session_config_that_can_not_be_applied_is_told(caplog: pytest.LogCaptureFixture) -> None:
    tf.constant(0).numpy()  # TensorFlow has started
    present = tf.config.threading.get_intra_op_parallelism_threads()
    session_config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=present + 3, log_device_placement=True)
    est.BaselineRegressor(config=est.RunConfig(session_config=session_config))
    assert "started, so ['intra_op_parallelism_threads'] can't be changed" in caplog.text
    assert "['log_device_placement'] are not used" in caplog.text
    assert tf.config.threading.get_intra_op_parallelism_threads() == present


def test_trace_that_a_hook_asks_for_is_refused(tmp_path: Path) -> None:
    class Tracing(est.SessionRunHook):  # type: ignore[misc]
        def before_run(self, run_context: Any) -> Any:
            options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
            return est.SessionRunArgs(None, options=options)

    estimator = est.BaselineRegressor(str(tmp_path))
    with pytest.raises(NotImplementedError, match="Tracing asks for a trace by RunOptions"):
        estimator.train(lambda: tf.data.Dataset.from_tensors(({"x": [[1.0]]}, [[1.0]])), hooks=[Tracing()])
