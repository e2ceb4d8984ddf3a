"""train_and_evaluate, its specifications, and RunConfig."""

from __future__ import annotations

import json
import os
from typing import Any

from .models import Notes, make, rows, v1, variables
from .registry import add, program

THEME = "together"


def _run(est: Any, directory: str, train: Any = None, evaluate: Any = None, config: Any = None) -> Any:
    estimator = make(est, directory, config=config)
    result = est.train_and_evaluate(
        estimator,
        est.TrainSpec(rows(), **{"max_steps": 4, **(train or {})}),
        est.EvalSpec(rows(), **{"steps": 2, "throttle_secs": 0, **(evaluate or {})}),
    )
    return result, variables(estimator)["global_step"]


@program(THEME)
def at_the_end(est: Any, directory: str) -> Any:
    return _run(est, directory)


@program(THEME)
def after_each_checkpoint(est: Any, directory: str) -> Any:
    calls: list[Any] = []
    _run(est, directory, evaluate={"hooks": [Notes(calls)]}, config={"save_checkpoints_steps": 2})
    return calls.count("begin"), calls.count("run")


@program(THEME)
def once_more(est: Any, directory: str) -> Any:
    return _run(est, directory), _run(est, directory)


@program(THEME)
def to_the_end_of_the_input(est: Any, directory: str) -> Any:
    estimator = make(est, directory)
    return est.train_and_evaluate(estimator, est.TrainSpec(rows(4, 2)), est.EvalSpec(rows(4, 1), steps=None))


@program(THEME)
def train_hooks_and_name(est: Any, directory: str) -> Any:
    calls: list[Any] = []
    _run(est, directory, train={"hooks": [Notes(calls)]}, evaluate={"name": "mine"})
    return calls, os.path.isdir(os.path.join(directory, "eval_mine"))


for _name, _field, _value in (
    ("no function", "input_fn", 5), ("zero steps", "max_steps", 0), ("steps below zero", "max_steps", -1),
    ("hooks", "hooks", [1]), ("float steps", "max_steps", 2.5),
):  # fmt: skip
    add(THEME, f"TrainSpec {_name}", lambda est, d, f=_field, v=_value: _field_of(
        est.TrainSpec(**{"input_fn": rows(), f: v}), f))  # fmt: skip
for _name, _field, _value in (
    ("no function", "input_fn", 5), ("zero steps", "steps", 0), ("name", "name", 5), ("empty name", "name", ""),
    ("hooks", "hooks", [1]), ("exporters", "exporters", [1]), ("delay", "start_delay_secs", -1),
    ("throttle", "throttle_secs", -1), ("all", "steps", None),
):  # fmt: skip
    add(THEME, f"EvalSpec {_name}", lambda est, d, f=_field, v=_value: _field_of(
        est.EvalSpec(**{"input_fn": rows(), f: v}), f))  # fmt: skip
add(THEME, "defaults", lambda est, d: (
    est.TrainSpec(rows()).max_steps, list(est.TrainSpec(rows()).hooks), est.EvalSpec(rows()).steps,
    list(est.EvalSpec(rows()).hooks), list(est.EvalSpec(rows()).exporters), est.EvalSpec(rows()).start_delay_secs,
    est.EvalSpec(rows()).throttle_secs, est.EvalSpec(rows()).name))  # fmt: skip
add(THEME, "no estimator", lambda est, d: est.train_and_evaluate(5, est.TrainSpec(rows()), est.EvalSpec(rows())))
add(THEME, "no TrainSpec", lambda est, d: est.train_and_evaluate(make(est, d), rows(), est.EvalSpec(rows())))
add(THEME, "no EvalSpec", lambda est, d: est.train_and_evaluate(make(est, d), est.TrainSpec(rows()), rows()))


def _field_of(spec: Any, field: str) -> Any:
    return getattr(spec, field)


_FIELDS = (
    "task_type", "task_id", "is_chief", "num_ps_replicas", "num_worker_replicas", "master", "evaluation_master",
    "global_id_in_cluster", "service", "model_dir", "tf_random_seed", "save_summary_steps", "save_checkpoints_secs",
    "save_checkpoints_steps", "keep_checkpoint_max", "keep_checkpoint_every_n_hours", "log_step_count_steps",
)  # fmt: skip
_CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"]}
TF_CONFIGS = {
    "none": None,
    "empty": {},
    "chief": {"cluster": _CLUSTER, "task": {"type": "chief", "index": 0}},
    "worker": {"cluster": _CLUSTER, "task": {"type": "worker", "index": 1}},
    "ps": {"cluster": _CLUSTER, "task": {"type": "ps", "index": 0}},
    "evaluator": {"cluster": _CLUSTER, "task": {"type": "evaluator", "index": 0}},
    "evaluator of index one": {"cluster": _CLUSTER, "task": {"type": "evaluator", "index": 1}},
    "evaluator in the cluster": {
        "cluster": {**_CLUSTER, "evaluator": ["e:1"]},
        "task": {"type": "evaluator", "index": 0},
    },
    "worker out of range": {"cluster": _CLUSTER, "task": {"type": "worker", "index": 2}},
    "unknown type": {"cluster": _CLUSTER, "task": {"type": "other", "index": 0}},
    "negative index": {"cluster": _CLUSTER, "task": {"type": "worker", "index": -1}},
    "index as text": {"cluster": _CLUSTER, "task": {"type": "worker", "index": "1"}},
    "no task": {"cluster": _CLUSTER},
    "no type": {"cluster": _CLUSTER, "task": {"index": 0}},
    "no index": {"cluster": _CLUSTER, "task": {"type": "worker"}},
    "no chief": {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}},
    "two chiefs": {"cluster": {"chief": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 0}},
    "chief alone": {"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}},
    "master": {"cluster": {"master": ["a:1"], "worker": ["b:1"]}, "task": {"type": "master", "index": 0}},
    "chief and master": {"cluster": {"chief": ["a:1"], "master": ["b:1"]}, "task": {"type": "chief", "index": 0}},
    "task worker without cluster": {"task": {"type": "worker", "index": 0}},
    "task chief without cluster": {"task": {"type": "chief", "index": 0}},
    "task ps without cluster": {"task": {"type": "ps", "index": 0}},
    "task evaluator without cluster": {"task": {"type": "evaluator", "index": 0}},
    "task master without cluster": {"task": {"type": "master", "index": 0}},
    "task one without cluster": {"task": {"type": "worker", "index": 1}},
    "service": {"service": {"key": "value"}},
    "service that is text": {"service": "text"},
    "model_dir": {"model_dir": "/of/the/environment"},
    "session_master": {"cluster": _CLUSTER, "task": {"type": "worker", "index": 0}, "session_master": "grpc://x:1"},
    "eval_session_master": {"cluster": _CLUSTER, "task": {"type": "worker", "index": 0}, "eval_session_master": "x"},
    "no JSON": "{",
    "environment alone": {"environment": "cloud"},
}


def _tf_config(config: Any) -> Any:
    def run(est: Any, directory: str) -> Any:
        if config is not None:
            os.environ["TF_CONFIG"] = config if isinstance(config, str) else json.dumps(config)
        try:
            made = est.RunConfig()
            return {**{name: getattr(made, name) for name in _FIELDS}, "cluster": made.cluster_spec.as_dict()}
        finally:
            os.environ.pop("TF_CONFIG", None)

    return run


for _name, _config in TF_CONFIGS.items():
    add(THEME, f"TF_CONFIG {_name}", _tf_config(_config))

CONFIGS = {
    "both intervals": {"save_checkpoints_steps": 1, "save_checkpoints_secs": 1},
    "steps alone": {"save_checkpoints_steps": 5},
    "seed is text": {"tf_random_seed": "a"},
    "seed is a float": {"tf_random_seed": 1.0},
    "negative summaries": {"save_summary_steps": -1},
    "negative checkpoints": {"save_checkpoints_steps": -1},
    "negative seconds": {"save_checkpoints_secs": -1},
    "negative keep": {"keep_checkpoint_max": -1},
    "zero hours": {"keep_checkpoint_every_n_hours": 0},
    "no hours": {"keep_checkpoint_every_n_hours": None},
    "zero log": {"log_step_count_steps": 0},
    "session config of another kind": {"session_config": {}},
    "device_fn is no function": {"device_fn": 1},
    "device_fn of another argument": {"device_fn": lambda op: "/cpu:0"},
    "device_fn of a wrong argument": {"device_fn": lambda x: "/cpu:0"},
    "protocol": {"protocol": "grpc"},
    "other protocol": {"protocol": "http"},
    "empty model_dir": {"model_dir": ""},
    "strategy that is none": {"train_distribute": 5},
    "evaluation strategy that is none": {"eval_distribute": "mirrored"},
    "zero timeout": {"session_creation_timeout_secs": 0},
    "zero delay": {"experimental_max_worker_delay_secs": 0},
    "unknown field": {"other": 1},
}
for _name, _fields in CONFIGS.items():

    def _config_of(est: Any, directory: str, fields: Any = _fields) -> Any:
        made = est.RunConfig(**fields)
        return {name: getattr(made, name) for name in fields if not callable(fields[name])}

    add(THEME, f"RunConfig {_name}", _config_of)

REPLACED = {
    "seed": {"tf_random_seed": 3}, "steps for seconds": {"save_checkpoints_steps": 3},
    "both intervals": {"save_checkpoints_steps": 1, "save_checkpoints_secs": 1}, "unknown": {"other": 1},
    "task_type": {"task_type": "ps"}, "model_dir": {"model_dir": "/some/where"}, "empty model_dir": {"model_dir": ""},
    "negative": {"keep_checkpoint_max": -1}, "seconds none": {"save_checkpoints_secs": None},
}  # fmt: skip
for _name, _fields in REPLACED.items():
    add(THEME, f"replace {_name}", lambda est, d, fields=_fields: [
        getattr(est.RunConfig().replace(**fields), name)
        for name in (*fields, "save_checkpoints_secs", "save_checkpoints_steps")
    ])  # fmt: skip


@program(THEME)
def own_attributes(est: Any, directory: str) -> Any:
    class Mine(est.RunConfig):  # type: ignore[misc, name-defined]
        def __init__(self, extra: int, **fields: Any) -> None:
            super().__init__(**fields)
            self.extra = extra

    config = Mine(3, tf_random_seed=2)
    config.more = 4
    copied = config.replace(tf_random_seed=5)
    return config.extra, config.more, copied.extra, copied.more, copied.tf_random_seed, type(copied).__name__


@program(THEME)
def assigning_a_field(est: Any, directory: str) -> Any:
    config = est.RunConfig()
    config.tf_random_seed = 5
    return config.tf_random_seed


for _name, _directory, _config in (
    ("the same twice", "a", "a"),
    ("two of them", "a", "b"),
    ("of the config", None, "b"),
):
    add(THEME, f"model_dir {_name}", lambda est, d, own=_directory, of=_config: est.Estimator(
        lambda features: None, own, est.RunConfig(model_dir=of)).model_dir)  # fmt: skip
add(THEME, "config of another kind", lambda est, d: est.Estimator(lambda features: None, d, {}))
for _name, _steps in (("both", {"steps": 1, "max_steps": 1}), ("zero steps", {"steps": 0}),
                      ("negative", {"steps": -1}), ("zero max_steps", {"max_steps": 0})):  # fmt: skip
    add(THEME, f"train {_name}", lambda est, d, s=_steps: make(est, d).train(rows(), **s))
add(THEME, "evaluate zero steps", lambda est, d: make(est, d).evaluate(rows(), steps=0))
add(THEME, "modes", lambda est, d: (est.ModeKeys.TRAIN, est.ModeKeys.EVAL, est.ModeKeys.PREDICT, v1 is not None))
