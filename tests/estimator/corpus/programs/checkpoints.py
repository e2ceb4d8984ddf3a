"""Checkpoints: how many, which, and what is read from them."""

from __future__ import annotations

import glob
import os
import shutil
from typing import Any

import numpy as np
import tensorflow as tf

from .models import line_model, make, rows, v1, variables
from .registry import add, program

THEME = "checkpoints"


def _kept(directory: str) -> list[str]:
    return sorted(os.path.basename(p)[:-6] for p in glob.glob(os.path.join(directory, "*.index")))


CONFIGS = {
    "default": {},
    "each step": {"save_checkpoints_steps": 1},
    "each second step": {"save_checkpoints_steps": 2},
    "keep two": {"save_checkpoints_steps": 1, "keep_checkpoint_max": 2},
    "keep all": {"save_checkpoints_steps": 1, "keep_checkpoint_max": None},
    "keep all by zero": {"save_checkpoints_steps": 1, "keep_checkpoint_max": 0},
    "none": {"save_checkpoints_steps": None, "save_checkpoints_secs": None},
    "by time": {"save_checkpoints_secs": 3600},
    "all fields none": {"tf_random_seed": None, "keep_checkpoint_max": None, "keep_checkpoint_every_n_hours": None,
                        "session_config": None, "device_fn": None, "protocol": None},
}  # fmt: skip
for _name, _config in CONFIGS.items():

    def _train(est: Any, directory: str, config: Any = _config) -> Any:
        make(est, directory, config=config).train(rows(), steps=7)
        return _kept(directory)

    add(THEME, f"kept {_name}", _train)


@program(THEME)
def train_on(est: Any, directory: str) -> Any:
    first = variables(make(est, directory).train(rows(), steps=2))
    return first, variables(make(est, directory).train(rows(), steps=2))


@program(THEME)
def max_steps_reached(est: Any, directory: str) -> Any:
    calls = []
    for limit in (3, 3, 2, 5):
        estimator = make(est, directory).train(rows(), max_steps=limit)
        calls.append(int(estimator.get_variable_value("global_step")))
    return calls


@program(THEME)
def evaluate_an_older_one(est: Any, directory: str) -> Any:
    estimator = make(est, directory, config={"save_checkpoints_steps": 1}).train(rows(), steps=3)
    paths = [os.path.join(directory, f"model.ckpt-{step}") for step in (1, 3)]
    predicted = [next(estimator.predict(rows(), checkpoint_path=path)) for path in paths]
    return [estimator.evaluate(rows(), steps=1, checkpoint_path=path) for path in paths], predicted


@program(THEME)
def evaluate_one_that_is_not_there(est: Any, directory: str) -> Any:
    return make(est, directory).evaluate(rows(), steps=1, checkpoint_path=os.path.join(directory, "model.ckpt-9"))


@program(THEME)
def latest_checkpoint(est: Any, directory: str) -> Any:
    estimator = make(est, directory)
    before = estimator.latest_checkpoint()
    estimator.train(rows(), steps=2)
    return before, os.path.relpath(estimator.latest_checkpoint(), directory)


for _name, _call in {
    "names before training": lambda e: e.get_variable_names(),
    "value before training": lambda e: e.get_variable_value("w"),
    "value that is not there": lambda e: e.train(rows(), steps=1).get_variable_value("none"),
    "value with a colon": lambda e: e.train(rows(), steps=1).get_variable_value("w:0"),
}.items():
    add(THEME, _name, lambda est, d, call=_call: call(make(est, d)))


def _wider(est: Any) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        w = v1.get_variable("w", [2])
        loss = tf.reduce_sum(w)
        return est.EstimatorSpec(mode, loss=loss, train_op=v1.train.get_global_step().assign_add(1))

    return model_fn


def _renamed(est: Any) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        w = v1.get_variable("other", [])
        return est.EstimatorSpec(mode, loss=w * 1.0, train_op=v1.train.get_global_step().assign_add(1))

    return model_fn


for _name, _model in (("of another shape", _wider), ("of another name", _renamed)):

    def _mismatch(est: Any, directory: str, model: Any = _model) -> Any:
        make(est, directory).train(rows(), steps=1)
        return make(est, directory, model(est)).train(rows(), steps=1)

    add(THEME, f"variables {_name}", _mismatch)


@program(THEME)
def a_variable_less(est: Any, directory: str) -> Any:
    def fewer(features: Any, labels: Any, mode: str) -> Any:
        w = v1.get_variable("w", [])
        loss = (w - 1) ** 2
        return est.EstimatorSpec(
            mode, loss=loss, train_op=v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_global_step())
        )

    make(est, directory).train(rows(), steps=1)
    return variables(make(est, directory, fewer).train(rows(), steps=1))


@program(THEME)
def a_slot_more(est: Any, directory: str) -> Any:
    make(est, directory).train(rows(), steps=1)
    momentum = line_model(est, lambda: v1.train.MomentumOptimizer(0.1, 0.9))
    return make(est, directory, momentum).train(rows(), steps=1)


@program(THEME)
def moved_directory(est: Any, directory: str) -> Any:
    make(est, directory).train(rows(), steps=2)
    shutil.move(directory, directory + "-moved")
    return int(make(est, directory + "-moved").train(rows(), steps=1).get_variable_value("global_step"))


@program(THEME)
def damaged_state_file(est: Any, directory: str) -> Any:
    make(est, directory).train(rows(), steps=2)
    with open(os.path.join(directory, "checkpoint"), "w") as file:
        file.write("model_checkpoint_path: garbage")
    return make(est, directory).train(rows(), steps=1)


@program(THEME)
def written_by_a_saver(est: Any, directory: str) -> Any:
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("w", initializer=np.float32(2.0))
        v1.get_variable("b", initializer=np.float32(1.0))
        v1.train.create_global_step()
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, os.path.join(directory, "model.ckpt"), global_step=0)
    return variables(make(est, directory).train(rows(), steps=1))


@program(THEME)
def read_by_a_saver(est: Any, directory: str) -> Any:
    path = make(est, directory).train(rows(), steps=2).latest_checkpoint()
    with tf.Graph().as_default(), v1.Session() as session:
        w = v1.get_variable("w", [])
        v1.train.Saver([w]).restore(session, path)
        return session.run(w)


@program(THEME)
def files(est: Any, directory: str) -> Any:
    make(est, directory, config={"checkpoint_save_graph_def": True}).train(rows(), steps=1)
    names = {os.path.basename(p).split(".data-")[0] for p in glob.glob(directory + "/*")}
    return sorted(name for name in names if not name.startswith("events"))


@program(THEME)
def without_graph(est: Any, directory: str) -> Any:
    make(est, directory, config={"checkpoint_save_graph_def": False}).train(rows(), steps=1)
    return sorted(os.path.basename(p) for p in glob.glob(directory + "/*") if p.endswith((".meta", ".pbtxt")))
