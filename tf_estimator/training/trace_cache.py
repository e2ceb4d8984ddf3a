"""The traces that a model runtime keeps: which of them serves again, and when model_fn has to be called anew."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

from ..graph.traced_model import TracedModel
from ..inputs.input_fn import fingerprint
from ..keys import ModeKeys
from .trace_store import TraceStore

_HOOKS = {
    ModeKeys.TRAIN: ("training_hooks", "training_chief_hooks"),
    ModeKeys.EVAL: ("evaluation_hooks",),
    ModeKeys.PREDICT: ("prediction_hooks",),
}
_SCAFFOLD = ("init_fn", "init_op", "init_feed_dict", "local_init_op", "ready_op", "ready_for_local_init_op", "saver")
_LIBRARIES = ("tf_estimator", "tensorflow", "keras")


class TraceCache:
    """Traces by mode and kind of input.

    A model_fn may read what the program changes between two calls of `train` (a learning rate, a counter), so each
    call of `train`, `evaluate` and `predict` calls it again, as `tf.estimator` did. Its functions are compiled again
    only if the graph became another one, or holds objects of Python's: hooks, a Scaffold's functions, `py_function`.
    The model_fn of a canned estimator makes the same graph each time, unless a function of the user's gives a part.

    Args:
        model_fn: what the traces are made of.
    """

    def __init__(self, model_fn: Callable[..., Any]) -> None:
        self._steady = _makes_one_graph(model_fn)
        self._kept: dict[Any, tuple[TracedModel, str]] = {}
        self._store: TraceStore | None = None
        self._made_of: Any = None

    def share(self, store: TraceStore, made_of: Any) -> None:
        """Takes traces from a store, and leaves them there, where the model_fn is a canned estimator's.

        Args:
            made_of: the same for all model_fns that were made of equal values, and for no others.
        """
        self._store, self._made_of = store if self._steady else None, made_of

    def shared(self) -> tuple[TraceStore, Any] | None:
        """What `share` was given; None where nothing is shared."""
        return None if self._store is None else (self._store, self._made_of)

    def get(self, key: Any, make: Callable[[], TracedModel]) -> TracedModel:
        """The trace for `key`, whose first item is the mode; `make` calls model_fn."""
        if self._steady and key in self._kept:
            return self._kept[key][0]
        if self._steady:
            trace = self._stored(key, make)
            self._kept[key] = trace, ""
            return trace
        trace = make()
        graph_def = trace.graph.as_graph_def()
        stamp = "" if _holds_objects(trace, key[0], graph_def) else fingerprint(graph_def)
        if not stamp or key not in self._kept or self._kept[key][1] != stamp:
            self._kept[key] = trace, stamp
        return self._kept[key][0]

    def _stored(self, key: Any, make: Callable[[], TracedModel]) -> TracedModel:
        if self._store is None:
            return make()
        trace = self._store.get((self._made_of, key))
        if trace is None:
            trace = make()
            self._store.put((self._made_of, key), trace)
        return trace


def _makes_one_graph(model_fn: Any) -> bool:
    """Whether model_fn is the engine's, and what it was made of are values, not functions of the user's."""
    function = getattr(model_fn, "__func__", model_fn)
    if not _of_a_library(function):
        return False
    parts = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    return not any(isinstance(part, FunctionType | functools.partial) and not _of_a_library(part) for part in parts)


def _of_a_library(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).partition(".")[0] in _LIBRARIES


def _holds_objects(trace: TracedModel, mode: str, graph_def: Any) -> bool:
    scaffold = trace.spec.scaffold
    if any(getattr(trace.spec, field) for field in _HOOKS[mode]):
        return True
    if any(getattr(scaffold, field, None) is not None for field in _SCAFFOLD):
        return True
    bodies = [graph_def.node, *(function.node_def for function in graph_def.library.function)]
    return any("PyFunc" in node.op for nodes in bodies for node in nodes)
