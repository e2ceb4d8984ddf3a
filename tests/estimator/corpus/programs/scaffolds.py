"""What a Scaffold holds."""

from __future__ import annotations

import glob
import os
from typing import Any

import tensorflow as tf

from .models import line, make, rows, v1
from .registry import add, program

THEME = "scaffolds"

Scaffold = v1.train.Scaffold


def _model_fn(est: Any, scaffold: Any) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        predicted, w, b = line(features)
        local = v1.get_local_variable("local", [], initializer=v1.zeros_initializer())
        step = v1.train.get_global_step()
        made = scaffold(mode, w, b, local, step)
        fields = {"scaffold": made} if made is not None else {}
        if mode == "infer":
            shape = tf.shape(predicted)
            return est.EstimatorSpec(mode, {"w": tf.fill(shape, w), "local": tf.fill(shape, local)}, **fields)
        loss = tf.reduce_mean((predicted - labels) ** 2)
        if mode == "eval":
            metrics = {"w": v1.metrics.mean(w), "b": v1.metrics.mean(b), "local": v1.metrics.mean(local)}
            return est.EstimatorSpec(mode, loss=loss, eval_metric_ops=metrics, **fields)
        average = v1.train.ExponentialMovingAverage(0.5)
        with tf.control_dependencies([v1.train.GradientDescentOptimizer(0.1).minimize(loss, step)]):
            return est.EstimatorSpec(mode, loss=loss, train_op=average.apply([w]), **fields)

    return model_fn


def _all(est: Any, directory: str, scaffold: Any, train: int = 2) -> Any:
    estimator = make(est, directory, _model_fn(est, scaffold))
    names: Any = None
    if train:
        estimator.train(rows(), steps=train)
        names = estimator.get_variable_names()
    return names, estimator.evaluate(rows(), steps=1), next(estimator.predict(rows()))


def _init(w: Any, value: Any) -> Any:
    return tf.group(v1.assign(w, value), *[v.initializer for v in v1.global_variables() if v is not w])


def _fed(mode: str, w: Any, *_: Any) -> Any:
    value = v1.placeholder(tf.float32, [])
    return Scaffold(init_op=_init(w, value), init_feed_dict={value: 7.0})


def _init_fn(mode: str, w: Any, *_: Any) -> Any:
    assign = v1.assign(w, 5.0)
    return Scaffold(init_fn=lambda scaffold, session: session.run(assign))


def _local(mode: str, w: Any, b: Any, local: Any, step: Any) -> Any:
    with tf.control_dependencies([v1.local_variables_initializer()]):
        return Scaffold(local_init_op=tf.group(v1.assign(local, 3.0), v1.tables_initializer()))


def _average(mode: str, w: Any, b: Any, local: Any, step: Any) -> Any:
    if mode == "train":
        return None
    return Scaffold(saver=v1.train.Saver({"w/ExponentialMovingAverage": w, "b": b, "global_step": step}))


def _collected(mode: str, w: Any, b: Any, local: Any, step: Any) -> None:
    if mode != "train":
        saver = v1.train.Saver({"w/ExponentialMovingAverage": w, "b": b, "global_step": step})
        v1.add_to_collection(v1.GraphKeys.SAVERS, saver)


SCAFFOLDS = {
    "empty": lambda *_: Scaffold(),
    "init_fn": _init_fn,
    "init_op": lambda mode, w, *_: Scaffold(init_op=_init(w, 5.0)),
    "init_op of a part": lambda mode, w, *_: Scaffold(init_op=tf.group(v1.assign(w, 5.0))),
    "init_feed_dict": _fed,
    "copied": lambda mode, w, *_: Scaffold(copy_from_scaffold=Scaffold(init_op=_init(w, 5.0))),
    "local_init_op": _local,
    "ready_op not ready": lambda *_: Scaffold(ready_op=tf.constant(["no"])),
    "ready_op ready": lambda *_: Scaffold(ready_op=tf.constant([], tf.string)),
    "ready_for_local_init_op not ready": lambda *_: Scaffold(ready_for_local_init_op=tf.constant(["no"])),
    "saver of the averages": _average,
    "saver in the collection": _collected,
    "saver of a part": lambda mode, w, b, local, step: Scaffold(saver=v1.train.Saver([w, step])),
    "two savers in the collection": lambda mode, *_: [
        v1.add_to_collection(v1.GraphKeys.SAVERS, v1.train.Saver()) for _ in range(2)
    ][0],
}
for _name, _scaffold in SCAFFOLDS.items():
    add(THEME, _name, lambda est, d, scaffold=_scaffold: _all(est, d, scaffold))
for _name in ("init_fn", "init_op", "init_feed_dict"):
    add(THEME, f"{_name} without a checkpoint", lambda est, d, n=_name: _all(est, d, SCAFFOLDS[n], train=0))


@program(THEME)
def max_to_keep(est: Any, directory: str) -> Any:
    def scaffold(*_: Any) -> Any:
        return Scaffold(saver=v1.train.Saver(max_to_keep=2))

    estimator = make(est, directory, _model_fn(est, scaffold), {"save_checkpoints_steps": 1})
    kept = []
    for steps in (4, 1):
        estimator.train(rows(), steps=steps)
        kept.append(sorted(os.path.basename(p) for p in glob.glob(os.path.join(directory, "*.index"))))
    return kept


@program(THEME)
def saver_with_other_names(est: Any, directory: str) -> Any:
    def scaffold(mode: str, w: Any, b: Any, local: Any, step: Any) -> Any:
        return Scaffold(saver=v1.train.Saver({"other": w, "b": b, "global_step": step}))

    estimator = make(est, directory, _model_fn(est, scaffold)).train(rows(), steps=1)
    return estimator.get_variable_names()


@program(THEME)
def summary_op(est: Any, directory: str) -> Any:
    def scaffold(mode: str, w: Any, *_: Any) -> Any:
        return Scaffold(summary_op=v1.summary.scalar("mine", w))

    make(est, directory, _model_fn(est, scaffold), {"save_summary_steps": 1}).train(rows(), steps=2)
    files = glob.glob(os.path.join(directory, "events*"))
    return sorted({(v.tag, e.step) for f in files for e in v1.train.summary_iterator(f) for v in e.summary.value})
