"""Early stopping."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .models import line, make, rows, v1
from .registry import add, program

THEME = "early stopping"


def _model(est: Any, losses: Any) -> Any:
    """A model whose evaluation loss follows a curve of the step."""

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        predicted, w, _ = line(features)
        step = v1.train.get_global_step()
        curve = tf.gather(tf.constant(losses, tf.float32), tf.minimum(step, len(losses) - 1))
        metrics = {"curve": v1.metrics.mean(curve)}
        train_op = tf.group(v1.assign_add(step, 1), v1.assign_add(w, 1.0))
        return est.EstimatorSpec(
            mode, loss=tf.reduce_mean(predicted) * 0 + 1, train_op=train_op, eval_metric_ops=metrics
        )

    return model_fn


DOWN_UP = [9.0, 8.0, 7.0, 6.0, 5.0, 6.0, 7.0, 8.0, 9.0, 9.0, 9.0]
CASES = {
    "no decrease": ("stop_if_no_decrease_hook", ("curve", 2), {}),
    "no decrease from a step on": ("stop_if_no_decrease_hook", ("curve", 2), {"min_steps": 8}),
    "no decrease at once": ("stop_if_no_decrease_hook", ("curve", 0), {}),
    "no increase": ("stop_if_no_increase_hook", ("curve", 2), {}),
    "higher": ("stop_if_higher_hook", ("curve", 7.5), {}),
    "lower": ("stop_if_lower_hook", ("curve", 6.5), {}),
    "lower from a step on": ("stop_if_lower_hook", ("curve", 6.5), {"min_steps": 7}),
    "never lower": ("stop_if_lower_hook", ("curve", 0.0), {}),
    "a metric that is not there": ("stop_if_lower_hook", ("none", 1.0), {}),
}
for _name, (_hook, _arguments, _more) in CASES.items():

    def _stop(est: Any, directory: str, hook: str = _hook, arguments: Any = _arguments, more: Any = _more) -> Any:
        config = {"save_checkpoints_steps": 1, "keep_checkpoint_max": None}
        estimator = make(est, directory, _model(est, DOWN_UP), config)
        made = getattr(est.experimental, hook)(estimator, *arguments, run_every_secs=None, run_every_steps=1, **more)
        est.train_and_evaluate(
            estimator,
            est.TrainSpec(rows(), max_steps=10, hooks=[made]),
            est.EvalSpec(rows(), steps=1, throttle_secs=0),
        )
        return int(estimator.get_variable_value("global_step"))

    add(THEME, _name, _stop)

for _name, _arguments in {
    "every second": {"run_every_secs": 60}, "neither": {"run_every_secs": None},
    "both": {"run_every_secs": 60, "run_every_steps": 1}, "zero seconds": {"run_every_secs": 0},
    "zero steps": {"run_every_secs": None, "run_every_steps": 0},
}.items():  # fmt: skip

    def _made(est: Any, directory: str, arguments: Any = _arguments) -> Any:
        estimator = make(est, directory)
        hook = est.experimental.make_early_stopping_hook(estimator, lambda: False, **arguments)
        return int(estimator.train(rows(), steps=2, hooks=[hook]).get_variable_value("global_step"))

    add(THEME, f"make_early_stopping_hook {_name}", _made)


@program(THEME)
def stop_by_a_function(est: Any, directory: str) -> Any:
    calls: list[int] = []
    estimator = make(est, directory)
    hook = est.experimental.make_early_stopping_hook(
        estimator, lambda: bool(calls.append(1)) or len(calls) > 2, run_every_secs=None, run_every_steps=1
    )
    return int(estimator.train(rows(), steps=9, hooks=[hook]).get_variable_value("global_step")) < 9


@program(THEME)
def stop_fn_that_is_no_function(est: Any, directory: str) -> Any:
    return est.experimental.make_early_stopping_hook(make(est, directory), 5)


@program(THEME)
def estimator_that_is_none(est: Any, directory: str) -> Any:
    return est.experimental.make_early_stopping_hook(5, lambda: False)


@program(THEME)
def stop_at_checkpoint_step(est: Any, directory: str) -> Any:
    estimator = make(est, directory, config={"save_checkpoints_steps": 2})
    hook = est.experimental.make_stop_at_checkpoint_step_hook(estimator, last_step=4)
    return int(estimator.train(rows(), steps=9, hooks=[hook]).get_variable_value("global_step"))


@program(THEME)
def in_memory_evaluator(est: Any, directory: str) -> Any:
    import glob

    estimator = make(est, directory)
    hook = est.experimental.InMemoryEvaluatorHook(estimator, rows(4, 1), every_n_iter=2, name="mem")
    estimator.train(rows(), steps=4, hooks=[hook])
    found = []
    for path in glob.glob(estimator.eval_dir("mem") + "/events*"):
        for event in v1.train.summary_iterator(path):
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
    return sorted(found)
