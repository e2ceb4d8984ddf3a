"""The writer of a directory's event file, which begins with the graph."""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf
from tensorflow.python.summary.writer.writer import SummaryToEventTransformer

from ..graph.traced_model import TracedModel

v1 = tf.compat.v1


def event_writer(trace: TracedModel, directory: str) -> Any:
    """`FileWriterCache.get(directory)` in a trace's graph, whose definition is made once for a trace that is kept.

    TensorFlow makes and serializes it twice for each file, which for a small job takes longer than its steps do.
    """
    cache, graph = v1.summary.FileWriterCache, trace.graph
    with cache._lock, graph.as_default():
        if directory in cache._cache or not trace.initial.keep:
            return cache.get(directory)
        writer = cache._cache[directory] = v1.summary.FileWriter(directory)
    for kept in trace.memo.get(("graph events", graph.version), lambda: _graph_events(graph)):
        event = v1.Event()
        event.CopyFrom(kept)
        event.wall_time = time.time()
        writer.add_event(event)
    return writer


def _graph_events(graph: tf.Graph) -> list[Any]:
    """The events with which TensorFlow's writer begins a file."""
    taken = _Taken()
    with graph.as_default():
        SummaryToEventTransformer(taken, graph)
    return taken.events


class _Taken:
    """Stands in for an event file."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def add_event(self, event: Any) -> None:
        self.events.append(event)

    def get_logdir(self) -> str:
        """Where assets of plugins would go; a trace that is kept has none."""
        return ""
