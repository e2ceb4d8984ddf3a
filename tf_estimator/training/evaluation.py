"""The evaluation run: metrics over batches, and their summaries."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..errors import EmptyInputError
from ..graph.traced_model import TracedModel
from ..inputs.replica_source import ReplicaSource
from ..inputs.source import BatchSource
from ..keys import EVAL_STEP, GLOBAL_STEP
from ..loop.functions import multi_step
from ..variables import VariableSet
from .event_writer import event_writer
from .hook_runner import HookRunner
from .initialization import initialize_local
from .session import EngineSession

v1 = tf.compat.v1
log = logging.getLogger("tf_estimator")

#: Batches of one call; between calls signals get through.
CALL_BATCHES = 1000


def evaluate(
    trace: TracedModel,
    state: VariableSet,
    source: BatchSource,
    steps: int | None,
    hooks: Sequence[Any],
    directory: str,
    checkpoint_path: str | None = None,
) -> dict[str, Any]:
    """Runs an evaluation.

    Args:
        trace: an EVAL trace.
        state: the variables' values.
        source: the batches.
        steps: how many of them; None for all.
        hooks: the user's.
        directory: where summaries go.
        checkpoint_path: where the values came from, noted beside the summaries as `tf.estimator` does; None for values
            in memory.

    Returns:
        Metric name to value, `global_step` among them.

    Raises:
        EmptyInputError: there was no batch.
    """
    metrics = trace.evaluation
    session = EngineSession(trace, state, source)
    runner = HookRunner([*hooks, *trace.spec.evaluation_hooks], trace, session, metrics.updates)
    runner.begin()
    trace.captures.broadcast(state)
    initialize_local(trace, state)
    runner.after_create_session()
    done = 0
    values: list[tf.Tensor] = []
    while not runner.stop_requested and (steps is None or done < steps):
        try:
            done, values = _advance(trace, state, source, runner, done, steps)
        except (tf.errors.OutOfRangeError, StopIteration) as end:
            values = values if isinstance(end, StopIteration) else []
            break
    done = _finish(trace, state, source, rest=steps is None or done < steps)
    if done == 0:
        raise EmptyInputError("input_fn ended before it gave one batch; there is nothing to evaluate.")
    names = list(metrics.values)
    values = values or trace.functions.function([metrics.values[n] for n in names], [])([], state)
    flat = {name: value.numpy() for name, value in zip(names, values, strict=True)}
    nests = {name: tf.nest.map_structure(flat.pop, nest) for name, nest in metrics.nests.items()}
    result = {**flat, **nests}
    runner.end()
    session.close()
    _write(trace, directory, result, checkpoint_path)
    log.info("Evaluation of %d batches: %s", done, ", ".join(f"{k} = {v}" for k, v in sorted(result.items())))
    return result


def _advance(
    trace: TracedModel, state: VariableSet, source: BatchSource, runner: HookRunner, done: int, steps: int | None
) -> tuple[int, list[tf.Tensor]]:
    """Takes at least one batch; returns how many were taken so far, and the metrics' values if they are known."""
    hooks, due = runner.due(done)
    limits = [CALL_BATCHES] + ([] if steps is None else [steps - done]) + ([] if due is None else [due - 1 - done])
    wanted = min(limits)
    count = source.limit(max(wanted, 1))
    if count < 1:
        raise StopIteration
    if wanted < 1:
        runner.step(hooks, source, state, EVAL_STEP)
        return done + 1, []
    key = ("repeat", source.signature)
    metrics = trace.evaluation
    after = list(metrics.values.values())
    loop = trace.memo.get(key, lambda: multi_step(trace, metrics.updates, source, EVAL_STEP, loss=False, after=after))
    taken, _, _ = loop(count, 2**62, source, state)
    source.advance(taken)
    return done + int(taken), loop.values


def _finish(trace: TracedModel, state: VariableSet, source: BatchSource, rest: bool) -> int:
    """Brings the replicas' metrics together, the batches included that were too few for a step of all; batches done."""
    steps = int(trace.captures.local[EVAL_STEP].numpy())
    if not isinstance(source, ReplicaSource):
        return steps
    trace.captures.local.sum_copies(t.name for t in trace.variables.local())
    left = source.left if rest else []
    for batch in left:
        trace.functions.function(trace.evaluation.updates)(batch, state)
    return steps * len(trace.captures.devices) + len(left)


def _write(trace: TracedModel, directory: str, result: dict[str, Any], checkpoint_path: str | None) -> None:
    summary = v1.Summary()
    for name, value in result.items():
        if name == GLOBAL_STEP:
            continue
        if isinstance(value, bytes):
            try:
                parts = v1.Summary.FromString(value).value
            except Exception:
                log.warning("Metric %s is a string that is no summary; it is not written to %s.", name, directory)
                continue
            for i, part in enumerate(parts):
                part.tag = f"{name}/{i}"
            summary.value.extend(parts)
        elif not isinstance(value, np.ndarray | np.generic) or not np.issubdtype(value.dtype, np.number):
            log.warning("Metric %s is no number; it is not written to %s.", name, directory)
        elif np.ndim(value) == 0:
            summary.value.add(tag=name, simple_value=float(value))
        else:
            summary.value.add(tag=name, tensor=tf.make_tensor_proto(value))
    writer = event_writer(trace, directory)
    step = int(result[GLOBAL_STEP])
    writer.add_summary(summary, step)
    if checkpoint_path is not None:
        origin = v1.Summary()
        origin.value.add(tag="checkpoint_path", tensor=tf.make_tensor_proto(checkpoint_path))
        writer.add_summary(origin, step)
    writer.flush()
