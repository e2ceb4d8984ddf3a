"""The `tf.compat.v1.train.Scaffold` of a model_fn: who saves and restores, what initializes, and what says "ready"."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from ..checkpoint.partition import saver_variables
from ..errors import NotReadyError
from ..graph.fetches import element_of, feed_items
from ..graph.traced_model import TracedModel
from ..variables import VariableSet
from .session import EngineSession

v1 = tf.compat.v1

_OFFERED = "offered saver"


def saver_of(trace: TracedModel) -> Any:
    """The saver of the model's own: that of its Scaffold, else the one in the graph's collection; None for none.

    Raises:
        NotReadyError: several savers are in the collection.
    """
    own = getattr(trace.spec.scaffold, "saver", None)
    if own is not None:
        return own
    offered = trace.graph.get_collection(_OFFERED)
    found = [saver for saver in trace.graph.get_collection(v1.GraphKeys.SAVERS) if saver not in offered]
    if len(found) > 1:
        raise NotReadyError(
            f"The graph's collection of savers holds {len(found)} of them; pass the one that is meant in "
            "EstimatorSpec(scaffold=tf.compat.v1.train.Scaffold(saver=...))."
        )
    return found[0] if found else None


def offer_saver(trace: TracedModel, keep: int | None, every_n_hours: float | None) -> None:
    """Puts a saver into the graph's collection, where a `CheckpointSaverHook` of the user looks for one."""
    if saver_of(trace) is not None or trace.graph.get_collection(_OFFERED):
        return
    with trace.graph.as_default():
        saver = v1.train.Saver(
            saver_variables(trace.variables.model()),
            max_to_keep=keep,
            keep_checkpoint_every_n_hours=10000.0 if every_n_hours is None else every_n_hours,
            save_relative_paths=True,
        )
    trace.graph.add_to_collection(v1.GraphKeys.SAVERS, saver)
    trace.graph.add_to_collection(_OFFERED, saver)


def restore_through(saver: Any, trace: TracedModel, state: VariableSet, path: str) -> set[str]:
    """Restores through a saver of the model's own; returns the names of the variables that it leaves out."""
    session = EngineSession(trace, state)
    session.written = set()
    with trace.graph.as_default():
        saver.restore(session, path)
    session.close()
    return _others(trace, session.written)


def scaffold_init(trace: TracedModel, state: VariableSet) -> set[str]:
    """Runs `init_op` and `init_fn`; returns the names of the variables to which they leave no value.

    Without an `init_op` every variable has its initial value already.
    """
    scaffold = trace.spec.scaffold
    if scaffold is None or (scaffold.init_op is None and scaffold.init_fn is None):
        return set()
    session = EngineSession(trace, state)
    session.written = set()
    with trace.graph.as_default():
        if scaffold.init_op is not None:
            session.run(scaffold.init_op, scaffold.init_feed_dict)
        if scaffold.init_fn is not None:
            scaffold.init_fn(session)
    session.close()
    return _others(trace, session.written) if scaffold.init_op is not None else set()


def scaffold_local_init(trace: TracedModel, state: VariableSet) -> None:
    """Runs `local_init_op`, once everything local has its start."""
    operation, feeds = _local_init(trace)
    if operation is None:
        return
    values = [tf.constant(value, tensor.dtype) for tensor, value in feeds.values()]
    function = trace.functions.step_function([operation], [tensor for tensor, _ in feeds.values()], batch=False)
    function(values, state)


def local_writes(trace: TracedModel) -> set[str]:
    """Names of the model's variables that `local_init_op` sets."""
    operation, feeds = _local_init(trace)
    if operation is None:
        return set()
    keys = trace.dependencies.written([operation], [tensor for tensor, _ in feeds.values()])
    return {t.name for t in trace.variables.model() if t.key in keys}


def check_ready(trace: TracedModel, state: VariableSet, field: str, without: set[str]) -> None:
    """Asks the Scaffold's `ready_op` or `ready_for_local_init_op`, or else looks for variables without a value.

    Args:
        trace, state: the model.
        field: which of the two.
        without: names of variables to which nothing gave a value.

    Raises:
        NotReadyError: the operation names something that is not ready, or `without` is not empty.
    """
    operation = getattr(trace.spec.scaffold, field, None)
    if operation is None:
        if without:
            raise NotReadyError(
                f"Variables not initialized: {', '.join(sorted(without))}. What the Scaffold gives in place of the "
                "defaults (init_op, init_fn or saver) has to give a value to each variable of the model."
            )
        return
    session = EngineSession(trace, state)
    with trace.graph.as_default():
        found = session.run(operation)
    session.close()
    if found is not None and np.size(found):
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in np.ravel(found)]
        raise NotReadyError(f"The Scaffold's {field} says that the model is not ready: {', '.join(names)}.")


def _local_init(trace: TracedModel) -> tuple[Any, dict[str, Any]]:
    operation = getattr(trace.spec.scaffold, "local_init_op", None)
    if operation is None:
        return None, {}
    return element_of(trace.variables, operation), feed_items(
        trace.variables, getattr(trace.spec.scaffold, "local_init_feed_dict", None)
    )


def _others(trace: TracedModel, written: set[str]) -> set[str]:
    return {t.name for t in trace.variables.model() if t.key not in written and not t.optional}
