"""The prediction run: one function call per batch, values handed out example by example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..graph.threads import in_fresh_thread
from ..graph.traced_model import TracedModel
from ..inputs.source import BatchSource
from ..variables import VariableSet
from .hook_runner import HookRunner
from .session import EngineSession


def predictions(
    trace: TracedModel,
    state: VariableSet,
    source: BatchSource,
    predict_keys: Sequence[str] | str | None,
    hooks: Sequence[Any],
    single: bool,
) -> Iterator[Any]:
    """Yields what `Estimator.predict` documents."""
    wanted = chosen(trace.spec.predictions, predict_keys)
    session = EngineSession(trace, state)
    capture = _Capture(wanted)
    runner = HookRunner([*hooks, *trace.spec.prediction_hooks, capture], trace, session, [])
    runner.begin()
    runner.after_create_session()

    def step() -> bool:
        if source.limit(1) < 1:
            return False
        try:
            runner.step(runner.hooks, source, state, None)
        except (tf.errors.OutOfRangeError, StopIteration):
            return False
        return True

    while not runner.stop_requested:
        if not (step() if tf.executing_eagerly() else in_fresh_thread(step)):
            break
        if single:
            yield from examples(capture.value)
        else:
            yield capture.value
    runner.end()
    session.close()


class _Capture(tf.compat.v1.train.SessionRunHook):  # type: ignore[misc]
    """Takes the predictions of the batch."""

    def __init__(self, wanted: Any) -> None:
        self._args = tf.compat.v1.train.SessionRunArgs(wanted)
        self.value: Any = None

    def before_run(self, run_context: Any) -> Any:
        return self._args

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.value = run_values.results


def chosen(predicted: Any, keys: Sequence[str] | str | None) -> Any:
    """The predictions named by `keys`; all if None.

    Raises:
        ValueError: keys for predictions that are no dict, or none of them fits.
    """
    if not keys:
        return predicted
    if not isinstance(predicted, Mapping):
        raise ValueError("predict_keys is given, but the predictions of model_fn are not a dict; leave it out.")
    names = {keys} if isinstance(keys, str) else set(keys)
    found = {name: tensor for name, tensor in predicted.items() if name in names}
    if not found:
        raise ValueError(f"Expected to run at least one output from {sorted(predicted)}, provided {sorted(names)}.")
    return found


def examples(batch: Any) -> Iterator[Any]:
    """The examples of a batch of predictions.

    Raises:
        ValueError: a prediction is a scalar, or the batch lengths differ.
    """
    if not isinstance(batch, Mapping):
        _length("predictions", batch)
        yield from batch
        return
    lengths = {name: _length(name, value) for name, value in batch.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"Batch length of predictions should be same, it is {lengths}; pass yield_single_examples=False for those."
        )
    for i in range(next(iter(lengths.values()))):
        yield {name: value[i] for name, value in batch.items()}


def _length(name: str, value: Any) -> int:
    if np.ndim(value) == 0:
        raise ValueError(f"Prediction {name!r} has no batch dimension; pass yield_single_examples=False.")
    return len(value)
