"""The Scaffold of a model_fn: who restores, what initializes, what says that the model is ready."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est

v1 = tf.compat.v1
Scaffold = v1.train.Scaffold
X = np.arange(8, dtype=np.float32)


def input_fn() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(({"x": X}, 2 * X)).repeat().batch(4)


def make(
    directory: Path | str | None, scaffold: Callable[[str, Any, Any, Any], Any], config: Any = None, **fields: Any
) -> est.Estimator:
    """An Estimator of y = w·x + b, w = 1 and b = 0 at the start, that `scaffold(mode, w, b, local)` completes."""

    def model_fn(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        w = v1.get_variable("w", [], initializer=v1.ones_initializer())
        b = v1.get_variable("b", [], initializer=v1.zeros_initializer())
        local = v1.get_local_variable("local", [], initializer=v1.zeros_initializer())
        values = {"w": w, "b": b, "local": local}
        made = scaffold(mode, w, b, local)
        if mode == est.ModeKeys.PREDICT:
            rows = {name: tf.fill(tf.shape(features["x"]), value) for name, value in values.items()}
            return est.EstimatorSpec(mode, rows, scaffold=made)
        loss = tf.reduce_mean((labels - w * features["x"] - b) ** 2)
        if mode == est.ModeKeys.EVAL:
            metrics = {name: v1.metrics.mean(value) for name, value in values.items()}
            return est.EstimatorSpec(mode, loss=loss, eval_metric_ops=metrics, scaffold=made)
        step = v1.train.get_global_step()
        average = v1.train.ExponentialMovingAverage(0.9)
        with tf.control_dependencies([v1.train.GradientDescentOptimizer(0.01).minimize(loss, step)]):
            train_op = average.apply([w])
        return est.EstimatorSpec(mode, loss=loss, train_op=train_op, scaffold=made, **fields)

    return est.Estimator(model_fn, None if directory is None else str(directory), config)


def values(estimator: est.Estimator) -> tuple[dict[str, float], dict[str, float]]:
    evaluated, predicted = estimator.evaluate(input_fn, steps=1), next(estimator.predict(input_fn))
    names = ("w", "b", "local")
    return {n: float(evaluated[n]) for n in names}, {n: float(predicted[n]) for n in names}


def step() -> Any:
    return v1.train.get_global_step()


def group(w: Any, b: Any, value: Any) -> Any:
    others = [v.initializer for v in v1.global_variables() if v is not w]
    return tf.group(w.assign(value).op, b.initializer, *others)


@pytest.mark.parametrize("where", ["scaffold", "collection"])
@pytest.mark.parametrize("anew", [False, True], ids=["same", "new"])
def test_a_saver_restores_for_evaluation_and_prediction(tmp_path: Path, where: str, anew: bool) -> None:
    def scaffold(mode: str, w: Any, b: Any, local: Any) -> Any:
        if mode == est.ModeKeys.TRAIN:
            return None
        saver = v1.train.Saver({"w/ExponentialMovingAverage": w, "b": b, "global_step": step()})
        if where == "scaffold":
            return Scaffold(saver=saver)
        v1.add_to_collection(v1.GraphKeys.SAVERS, saver)
        return None

    def model(directory: Path) -> est.Estimator:
        return make(directory, lambda mode, *rest: scaffold(mode, *rest))

    estimator = model(tmp_path)
    estimator.train(input_fn, steps=3)
    raw, average = (float(estimator.get_variable_value(n)) for n in ("w", "w/ExponentialMovingAverage"))
    assert abs(raw - average) > 0.1
    if anew:
        estimator = model(tmp_path)
    evaluated, predicted = values(estimator)
    assert (evaluated["w"], predicted["w"]) == (pytest.approx(average), pytest.approx(average))


def test_two_savers_in_the_collection_are_refused() -> None:
    def scaffold(mode: str, w: Any, b: Any, local: Any) -> None:
        for _ in range(2):
            v1.add_to_collection(v1.GraphKeys.SAVERS, v1.train.Saver())

    with pytest.raises(RuntimeError, match="holds 2 of them"):
        make(None, scaffold).train(input_fn, steps=1)


def test_a_saver_that_leaves_variables_out_is_refused_when_it_restores(tmp_path: Path) -> None:
    estimator = make(tmp_path, lambda mode, w, b, local: Scaffold(saver=v1.train.Saver([w, step()])))
    estimator.train(input_fn, steps=1)
    assert estimator.get_variable_names() == ["global_step", "w"]
    for again in (lambda: estimator.evaluate(input_fn, steps=1), lambda: estimator.train(input_fn, steps=1)):
        with pytest.raises(RuntimeError, match=r"not initialized: b"):
            again()


def test_a_variable_that_the_saver_leaves_out_may_be_set_by_local_init_op(tmp_path: Path) -> None:
    def scaffold(mode: str, w: Any, b: Any, local: Any) -> Any:
        if mode == est.ModeKeys.TRAIN:
            return None
        return Scaffold(
            saver=v1.train.Saver([w, step()]),
            local_init_op=b.assign(9.0).op,
            ready_for_local_init_op=tf.constant([], tf.string),
            ready_op=tf.constant([], tf.string),
        )

    estimator = make(tmp_path, scaffold)
    estimator.train(input_fn, steps=1)
    evaluated, predicted = values(estimator)
    assert evaluated["b"] == predicted["b"] == 9.0


def test_max_to_keep_of_the_saver_counts(tmp_path: Path) -> None:
    config = est.RunConfig(save_checkpoints_steps=1, keep_checkpoint_max=5)
    estimator = make(tmp_path, lambda mode, *_: Scaffold(saver=v1.train.Saver(max_to_keep=2)), config)
    estimator.train(input_fn, steps=5)
    assert sorted(p.name for p in tmp_path.glob("*.index")) == ["model.ckpt-4.index", "model.ckpt-5.index"]


def test_init_fn_is_called_where_there_is_no_checkpoint(tmp_path: Path) -> None:
    calls: list[Any] = []

    def scaffold(mode: str, w: Any, b: Any, local: Any) -> Any:
        assign = w.assign(5.0)

        def init(of: Any, session: Any) -> None:
            calls.append(of)
            session.run(assign)

        return Scaffold(init_fn=init)

    estimator = make(tmp_path, scaffold)
    evaluated, predicted = values(estimator)
    assert evaluated["w"] == predicted["w"] == 5.0
    assert len(calls) == 2
    assert isinstance(calls[0], Scaffold)
    estimator.train(input_fn, steps=1)
    # One step from (5, 0) on x = 0 1 2 3: errors 3x, gradient of w 2·3·mean(x²) = 21, so 5 - 0.21.
    assert float(estimator.get_variable_value("w")) == pytest.approx(4.79)
    assert values(estimator)[0]["w"] == pytest.approx(4.79)
    assert len(calls) == 3


@pytest.mark.parametrize("form", ["init_op", "fed", "copied"])
def test_init_op_takes_the_place_of_the_initializers(form: str) -> None:
    def scaffold(mode: str, w: Any, b: Any, local: Any) -> Any:
        if form == "fed":
            value = v1.placeholder(tf.float32, [])
            return Scaffold(init_op=group(w, b, value), init_feed_dict={value: 5.0})
        made = Scaffold(init_op=group(w, b, 5.0))
        return Scaffold(copy_from_scaffold=made) if form == "copied" else made

    evaluated, predicted = values(make(None, scaffold))
    assert evaluated["w"] == predicted["w"] == 5.0


def test_init_op_that_leaves_a_variable_out_is_refused() -> None:
    with pytest.raises(RuntimeError, match="not initialized: b"):
        make(None, lambda mode, w, *_: Scaffold(init_op=w.assign(5.0).op)).evaluate(input_fn, steps=1)


def test_init_fn_may_complete_init_op() -> None:
    def scaffold(mode: str, w: Any, b: Any, local: Any) -> Any:
        rest = v1.global_variables_initializer()
        return Scaffold(init_op=w.assign(5.0).op, init_fn=lambda of, session: session.run(rest))

    # The initializer of w comes last here.
    assert values(make(None, scaffold))[0]["w"] == 1.0


def test_local_init_op_sets_local_variables(tmp_path: Path) -> None:
    def scaffold(mode: str, w: Any, b: Any, local: Any) -> Any:
        with tf.control_dependencies([v1.local_variables_initializer()]):
            return Scaffold(local_init_op=tf.group(local.assign(3.0).op, v1.tables_initializer()))

    estimator = make(tmp_path, scaffold)
    estimator.train(input_fn, steps=1)
    evaluated, predicted = values(estimator)
    assert evaluated["local"] == predicted["local"] == 3.0


@pytest.mark.parametrize("field", ["ready_op", "ready_for_local_init_op"])
def test_what_says_that_the_model_is_not_ready_is_heard(field: str) -> None:
    not_ready = make(None, lambda *_: Scaffold(**{field: tf.constant(["no", "nay"])}))
    for call in (
        lambda: not_ready.train(input_fn, steps=1),
        lambda: not_ready.evaluate(input_fn, steps=1),
        lambda: next(not_ready.predict(input_fn)),
    ):
        with pytest.raises(RuntimeError, match=f"{field} says that the model is not ready: no, nay"):
            call()
    ready = make(None, lambda *_: Scaffold(**{field: v1.report_uninitialized_variables()}))
    assert values(ready)[0]["w"] == 1.0


def test_summary_op_is_written_in_place_of_all_summaries(tmp_path: Path) -> None:
    def scaffold(mode: str, w: Any, b: Any, local: Any) -> Any:
        v1.summary.scalar("other", w)
        return Scaffold(summary_op=v1.summary.scalar("mine", w))

    make(tmp_path, scaffold, est.RunConfig(save_summary_steps=1, log_step_count_steps=None)).train(input_fn, steps=2)
    (file,) = tmp_path.glob("events*")
    tags = [(v.tag, e.step) for e in v1.train.summary_iterator(str(file)) for v in e.summary.value]
    assert tags == [("mine", 1), ("mine", 2)]


def test_hooks_of_the_chief_come_before_the_callers_and_the_others() -> None:
    calls: list[str] = []

    class Note(est.SessionRunHook):  # type: ignore[misc, valid-type]
        def __init__(self, name: str) -> None:
            self.name = name

        def begin(self) -> None:
            calls.append(f"{self.name} begins")

        def after_run(self, run_context: Any, run_values: Any) -> None:
            calls.append(f"{self.name} ran")

    fields = {"training_hooks": [Note("other")], "training_chief_hooks": [Note("chief")]}
    make(None, lambda *_: None, **fields).train(input_fn, steps=1, hooks=[Note("caller")])
    who = ("chief", "caller", "other")
    assert calls == [f"{name} begins" for name in who] + [f"{name} ran" for name in who]
