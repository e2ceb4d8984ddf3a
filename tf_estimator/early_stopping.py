"""Hooks that end training when an evaluated metric has become good enough, or stopped getting better."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from . import eval_events
from .checkpoint import files
from .estimator import Estimator
from .hooks.scheduled import Scheduled
from .hooks.session_run_hook import SessionRunHook
from .hooks.stop_on_predicate import StopOnPredicateHook
from .hooks.timer import SecondOrStepTimer

read_eval_metrics = eval_events.read_directory


def make_early_stopping_hook(
    estimator: Estimator,
    should_stop_fn: Callable[[], bool],
    run_every_secs: float | None = 60,
    run_every_steps: int | None = None,
) -> SessionRunHook:
    """A hook that calls `should_stop_fn()` now and then and ends training when it returns true.

    Args:
        estimator: what is trained.
        should_stop_fn: function without arguments.
        run_every_secs: seconds between calls.
        run_every_steps: steps between calls; give `run_every_secs=None` with it.

    Raises:
        TypeError: `estimator` is no Estimator, or `should_stop_fn` can't be called.
        ValueError: none or both intervals given.
    """
    _check(estimator)
    if not callable(should_stop_fn):
        raise TypeError(f"should_stop_fn must be a function without arguments, not {should_stop_fn!r}.")
    if (run_every_secs is None) == (run_every_steps is None):
        raise ValueError("Give exactly one of run_every_secs and run_every_steps, and None for the other.")
    return StopOnPredicateHook(should_stop_fn, run_every_secs, run_every_steps)


def stop_if_higher_hook(
    estimator: Estimator,
    metric_name: str,
    threshold: float,
    eval_dir: str | None = None,
    min_steps: int = 0,
    run_every_secs: float | None = 60,
    run_every_steps: int | None = None,
) -> SessionRunHook:
    """A hook that ends training when an evaluation gave `metric_name` above `threshold`.

    Args:
        estimator: what is trained.
        metric_name: a metric of the evaluations.
        threshold: the limit.
        eval_dir: where the evaluations are, `estimator.eval_dir()` by default.
        min_steps: evaluations before this global step don't count.
        run_every_secs, run_every_steps: how often to look, see `make_early_stopping_hook`.
    """
    enough = _crossed(operator.gt, threshold)
    return _metric_hook(enough, estimator, metric_name, eval_dir, min_steps, run_every_secs, run_every_steps)


def stop_if_lower_hook(
    estimator: Estimator,
    metric_name: str,
    threshold: float,
    eval_dir: str | None = None,
    min_steps: int = 0,
    run_every_secs: float | None = 60,
    run_every_steps: int | None = None,
) -> SessionRunHook:
    """A hook that ends training when an evaluation gave `metric_name` below `threshold`; see `stop_if_higher_hook`."""
    enough = _crossed(operator.lt, threshold)
    return _metric_hook(enough, estimator, metric_name, eval_dir, min_steps, run_every_secs, run_every_steps)


def stop_if_no_increase_hook(
    estimator: Estimator,
    metric_name: str,
    max_steps_without_increase: int,
    eval_dir: str | None = None,
    min_steps: int = 0,
    run_every_secs: float | None = 60,
    run_every_steps: int | None = None,
) -> SessionRunHook:
    """A hook that ends training when `metric_name` has not gone up for so many steps.

    Args:
        estimator: what is trained.
        metric_name: a metric of the evaluations.
        max_steps_without_increase: steps from the best evaluation to the last one after which it ends.
        eval_dir: where the evaluations are, `estimator.eval_dir()` by default.
        min_steps: evaluations before this global step don't count.
        run_every_secs, run_every_steps: how often to look, see `make_early_stopping_hook`.
    """
    enough = _stuck(operator.gt, max_steps_without_increase)
    return _metric_hook(enough, estimator, metric_name, eval_dir, min_steps, run_every_secs, run_every_steps)


def stop_if_no_decrease_hook(
    estimator: Estimator,
    metric_name: str,
    max_steps_without_decrease: int,
    eval_dir: str | None = None,
    min_steps: int = 0,
    run_every_secs: float | None = 60,
    run_every_steps: int | None = None,
) -> SessionRunHook:
    """A hook that ends training when `metric_name` has not gone down for so many steps; see
    `stop_if_no_increase_hook`."""
    enough = _stuck(operator.lt, max_steps_without_decrease)
    return _metric_hook(enough, estimator, metric_name, eval_dir, min_steps, run_every_secs, run_every_steps)


def make_stop_at_checkpoint_step_hook(
    estimator: Estimator, last_step: int, wait_after_file_check_secs: float = 30
) -> SessionRunHook:
    """A hook that ends training once a checkpoint of `last_step` or later is in the model directory.

    Args:
        estimator: what is trained, here or by another process.
        last_step: the step to reach.
        wait_after_file_check_secs: seconds between looks of a process that does not save the checkpoints itself.

    Raises:
        TypeError: `estimator` is no Estimator.
    """
    _check(estimator)

    return _StopAtCheckpoint(estimator, last_step, wait_after_file_check_secs)


class _StopAtCheckpoint(Scheduled, SessionRunHook):  # type: ignore[misc]
    """See `make_stop_at_checkpoint_step_hook`. Who saves the checkpoints looks at each step from the last one on."""

    def __init__(self, estimator: Estimator, last_step: int, wait: float) -> None:
        self._estimator, self._last_step = estimator, last_step
        self.schedule = SecondOrStepTimer(every_secs=0.0 if estimator.config.is_chief else wait)

    def begin(self) -> None:
        self.find_global_step()

    def next_step(self, global_step: int) -> int | None:
        return max(self._last_step, super().next_step(global_step) or 0)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        step = self.due_step(run_context)
        if step is None or step < self._last_step:
            return
        self.schedule.update_last_triggered_step(step)
        path = self._estimator.latest_checkpoint()
        if path is not None and files.step_of(path) >= self._last_step:
            run_context.request_stop()


_Values = list[tuple[int, float]]
"""(step, value) of a metric, in the order of the evaluations."""


def _crossed(beyond: Callable[[float, float], bool], threshold: float) -> Callable[[_Values], bool]:
    return lambda values: any(beyond(value, threshold) for _, value in values)


def _stuck(better: Callable[[float, float], bool], patience: int) -> Callable[[_Values], bool]:
    def stuck(values: _Values) -> bool:
        best: tuple[int, float] | None = None
        for step, value in values:
            if best is None or better(value, best[1]):
                best = (step, value)
            if step - best[0] >= patience:
                return True
        return False

    return stuck


def _metric_hook(
    enough: Callable[[_Values], bool],
    estimator: Estimator,
    metric_name: str,
    eval_dir: str | None,
    min_steps: int,
    run_every_secs: float | None,
    run_every_steps: int | None,
) -> SessionRunHook:
    """A hook that ends training when the metric's values so far are `enough`."""
    _check(estimator)

    def should_stop() -> bool:
        return enough(_values(eval_dir or estimator.eval_dir(), metric_name, min_steps))

    return make_early_stopping_hook(estimator, should_stop, run_every_secs, run_every_steps)


def _values(eval_dir: str, metric_name: str, min_steps: int) -> _Values:
    """(step, value) of the metric in the evaluations from `min_steps` on, in order.

    Raises:
        KeyError: an evaluation lacks the metric, which would then never stop the training.
    """
    values = []
    for step, metrics in read_eval_metrics(eval_dir).items():
        if step < min_steps:
            continue
        if metric_name not in metrics:
            raise KeyError(f"The evaluation of step {step} has no metric {metric_name!r}; it has {sorted(metrics)}.")
        values.append((step, float(metrics[metric_name])))
    return values


def _check(estimator: Any) -> None:
    if not isinstance(estimator, Estimator):
        raise TypeError(f"estimator must be an est.Estimator, not {type(estimator).__name__}.")
