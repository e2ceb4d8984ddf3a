"""The evaluation run: metrics over batches, and their summaries."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from workers.estimator.errors import EmptyInputError
from workers.estimator.graph import Trace
from workers.estimator.hook_calls import HookCalls
from workers.estimator.inputs.source import Source
from workers.estimator.loop import Repeater
from workers.estimator.preparation import initialize_local
from workers.estimator.session import EngineSession
from workers.estimator.tracing import EVAL_STEP, GLOBAL_STEP
from workers.estimator.variables import VariableSet

v1 = tf.compat.v1
log = logging.getLogger("workers.estimator")

#: Batches of one call; between calls signals get through.
CALL_BATCHES = 1000


def evaluate(
    trace: Trace, state: VariableSet, source: Source, steps: int | None, hooks: Sequence[Any], directory: str
) -> dict[str, Any]:
    """Runs an evaluation.

    Args:
        trace: an EVAL trace.
        state: the variables' values.
        source: the batches.
        steps: how many of them; None for all.
        hooks: the user's.
        directory: where summaries go.

    Returns:
        Metric name to value, `global_step` among them.

    Raises:
        EmptyInputError: there was no batch.
    """
    metrics = trace.evaluation
    session = EngineSession(trace, state, source)
    calls = HookCalls([*hooks, *trace.spec.evaluation_hooks], trace, session, metrics.updates)
    calls.begin()
    initialize_local(trace, state)
    calls.after_create_session()
    done = 0
    while not calls.stop_requested and (steps is None or done < steps):
        try:
            done = _advance(trace, state, source, calls, done, steps)
        except (tf.errors.OutOfRangeError, StopIteration):
            break
    done = int(trace.local[EVAL_STEP].numpy())
    if done == 0:
        raise EmptyInputError("input_fn ended before it gave one batch; there is nothing to evaluate.")
    names = list(metrics.values)
    values = trace.function([metrics.values[n] for n in names], [])([], state)
    result = {name: value.numpy() for name, value in zip(names, values, strict=True)}
    calls.end()
    session.close()
    _write(trace, directory, result)
    log.info("Evaluation of %d batches: %s", done, ", ".join(f"{k} = {v}" for k, v in sorted(result.items())))
    return result


def _advance(trace: Trace, state: VariableSet, source: Source, calls: HookCalls, done: int, steps: int | None) -> int:
    hooks, due = calls.due(done)
    limits = [CALL_BATCHES] + ([] if steps is None else [steps - done]) + ([] if due is None else [due - 1 - done])
    wanted = min(limits)
    count = source.limit(max(wanted, 1))
    if count < 1:
        raise StopIteration
    if wanted < 1:
        calls.step(hooks, source, state, EVAL_STEP)
        return done + 1
    key = ("repeat", source.signature)
    updates = trace.evaluation.updates
    repeater = trace.cached(key, lambda: Repeater(trace.function(updates), source, EVAL_STEP, loss=False))
    taken, _, _ = repeater(count, 2**62, source, state)
    source.advance(taken)
    return done + int(taken)


def _write(trace: Trace, directory: str, result: dict[str, Any]) -> None:
    summary = v1.Summary()
    for name, value in result.items():
        if name == GLOBAL_STEP:
            continue
        if isinstance(value, bytes):
            try:
                summary.value.extend(v1.Summary.FromString(value).value)
            except Exception:
                log.warning("Metric %s is a string that is no summary; it is not written to %s.", name, directory)
        elif np.ndim(value) == 0 and np.issubdtype(np.asarray(value).dtype, np.number):
            summary.value.add(tag=name, simple_value=float(value))
        else:
            log.warning("Metric %s is no scalar; it is not written to %s.", name, directory)
    with trace.graph.as_default():
        writer = v1.summary.FileWriterCache.get(directory)
    writer.add_summary(summary, int(result[GLOBAL_STEP]))
    writer.flush()
