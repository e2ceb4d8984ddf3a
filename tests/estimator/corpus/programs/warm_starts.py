"""Warm starts."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf

from .models import QUIET, line, line_model, make, once, rows, sgd, v1, variables
from .registry import add, program

THEME = "warm starts"

fc = tf.feature_column


def _from(est: Any, directory: str, settings: Any, model_fn: Any = None) -> Any:
    first = make(est, directory).train(rows(), steps=2)
    second = make(est, directory + "-2", model_fn, warm_start_from=settings(est, first))
    return variables(second.train(rows(), steps=1)), variables(first)


SETTINGS = {
    "directory": lambda est, e: e.model_dir,
    "checkpoint": lambda est, e: e.latest_checkpoint(),
    "older checkpoint": lambda est, e: os.path.join(e.model_dir, "model.ckpt-0"),
    "settings": lambda est, e: est.WarmStartSettings(e.model_dir),
    "one variable": lambda est, e: est.WarmStartSettings(e.model_dir, vars_to_warm_start="w"),
    "a pattern": lambda est, e: est.WarmStartSettings(e.model_dir, vars_to_warm_start=".*b.*"),
    "a list of patterns": lambda est, e: est.WarmStartSettings(e.model_dir, vars_to_warm_start=["w", "b"]),
    "no variable": lambda est, e: est.WarmStartSettings(e.model_dir, vars_to_warm_start="none"),
    "none": lambda est, e: est.WarmStartSettings(e.model_dir, vars_to_warm_start=None),
    "another name": lambda est, e: est.WarmStartSettings(e.model_dir, var_name_to_prev_var_name={"w": "b", "b": "w"}),
    "a name that is not there": lambda est, e: est.WarmStartSettings(
        e.model_dir, var_name_to_prev_var_name={"w": "none"}
    ),
    "a directory that is not there": lambda est, e: e.model_dir + "-none",
    "no settings": lambda est, e: 5,
    "empty settings": lambda est, e: est.WarmStartSettings(""),
    "the step too": lambda est, e: est.WarmStartSettings(e.model_dir, vars_to_warm_start=["w", "global_step"]),
}
for _name, _settings in SETTINGS.items():
    add(THEME, _name, lambda est, d, settings=_settings: _from(est, d, settings))


@program(THEME)
def only_where_there_is_no_checkpoint(est: Any, directory: str) -> Any:
    first = make(est, directory).train(rows(), steps=2)
    made = make(est, directory + "-2").train(rows(), steps=1)
    again = make(est, directory + "-2", warm_start_from=first.model_dir)
    return variables(made), variables(again.train(rows(), steps=1))


@program(THEME)
def with_momentum(est: Any, directory: str) -> Any:
    model_fn = line_model(est, lambda: v1.train.MomentumOptimizer(0.1, 0.9))
    make(est, directory, model_fn).train(rows(), steps=2)
    return variables(make(est, directory + "-2", model_fn, warm_start_from=directory).train(rows(), steps=1))


@program(THEME)
def a_variable_more(est: Any, directory: str) -> Any:
    def wider(features: Any, labels: Any, mode: str) -> Any:
        predicted, _, _ = line(features)
        more = v1.get_variable("more", [], initializer=v1.ones_initializer())
        loss = tf.reduce_mean((predicted * more - labels) ** 2)
        train_op = v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_global_step())
        return est.EstimatorSpec(mode, loss=loss, train_op=train_op)

    return _from(est, directory, lambda est, e: e.model_dir, wider)


@program(THEME)
def a_variable_more_that_is_left_out(est: Any, directory: str) -> Any:
    def wider(features: Any, labels: Any, mode: str) -> Any:
        predicted, _, _ = line(features)
        more = v1.get_variable("more", [], initializer=v1.ones_initializer())
        loss = tf.reduce_mean((predicted * more - labels) ** 2)
        train_op = v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_global_step())
        return est.EstimatorSpec(mode, loss=loss, train_op=train_op)

    return _from(est, directory, lambda est, e: est.WarmStartSettings(e.model_dir, ["w", "b"]), wider)


@program(THEME)
def another_shape(est: Any, directory: str) -> Any:
    def other(features: Any, labels: Any, mode: str) -> Any:
        w = v1.get_variable("w", [2])
        return est.EstimatorSpec(mode, loss=tf.reduce_sum(w), train_op=v1.train.get_global_step().assign_add(1))

    return _from(est, directory, lambda est, e: e.model_dir, other)


WORDS = {"s": np.array(["a", "b", "c", "a"])}
LABELS = np.float32([1, 2, 3, 1])


def _linear(est: Any, directory: str, words: list[str], **arguments: Any) -> Any:
    column = fc.categorical_column_with_vocabulary_list("s", words)
    config = est.RunConfig(**QUIET)
    return est.LinearRegressor([column], model_dir=directory, config=config, optimizer=sgd(0.1), **arguments)


@program(THEME)
def a_linear_model(est: Any, directory: str) -> Any:
    _linear(est, directory, ["a", "b", "c"]).train(once(WORDS, LABELS), steps=1)
    made = _linear(est, directory + "-2", ["a", "b", "c"], warm_start_from=directory)
    return {n: v for n, v in variables(made.train(once(WORDS, LABELS), steps=1)).items() if "training" not in n}


def _files(directory: str) -> tuple[str, str]:
    paths = []
    for name, words in (("old", "a\nb\n"), ("new", "c\nb\na\n")):
        paths.append(f"{directory}-{name}.txt")
        with open(paths[-1], "w") as file:
            file.write(words)
    return paths[0], paths[1]


for _name, _backup in (("zeros", None), ("ones", 1.0)):

    def _vocabulary(est: Any, directory: str, backup: Any = _backup) -> Any:
        old, new = _files(directory)
        name = "linear/linear_model/s/weights"

        def model(path: str, where: str, **more: Any) -> Any:
            column = fc.categorical_column_with_vocabulary_file("s", path)
            config = est.RunConfig(**QUIET)
            return est.LinearRegressor([column], model_dir=where, config=config, optimizer=sgd(0.1), **more)

        model(old, directory).train(once(WORDS, LABELS), steps=1)
        initializer = None if backup is None else tf.constant_initializer(backup)
        info = est.VocabInfo(new, 3, 0, old, 2, backup_initializer=initializer)
        settings = est.WarmStartSettings(directory, var_name_to_vocab_info={name: info})
        made = model(new, directory + "-2", warm_start_from=settings).train(once(WORDS, LABELS), steps=1)
        return made.get_variable_value(name)

    add(THEME, f"another vocabulary {_name}", _vocabulary)
