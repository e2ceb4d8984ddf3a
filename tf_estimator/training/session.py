"""The session that hooks get: `run` on the trace's graph and one state's variables, without a TensorFlow session."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tensorflow as tf

from ..graph.fetches import Fetches, feed_items, to_numpy
from ..graph.traced_model import TracedModel
from ..inputs.source import BatchSource
from ..loop.functions import single_step
from ..variables import VariableSet

v1 = tf.compat.v1


class EngineSession(v1.Session):  # type: ignore[misc,name-defined]
    """Stands in for the `tf.compat.v1.Session` that hooks, savers and scaffolds expect.

    A fetch that depends on the input takes the next batch, as it did from the iterator of a v1 session.

    It never opens a TensorFlow session: every `run` is a cached function of the trace. It is a subclass only because
    `tf.compat.v1.train.Saver` asks for one.
    """

    checkpoint_dir: str | None = None  # of a training

    def __init__(self, trace: TracedModel, state: VariableSet, source: BatchSource | None = None) -> None:
        self._trace = trace
        self._source = source
        self._state = state
        self._thread: ThreadPoolExecutor | None = None
        self.written: set[str] | None = None  # keys of the variables that runs may have written; None: not noted

    @property
    def graph(self) -> tf.Graph:
        return self._trace.graph

    @property
    def graph_def(self) -> Any:
        return self._trace.graph.as_graph_def()

    @property
    def sess_str(self) -> str:
        return ""

    def run(
        self, fetches: Any, feed_dict: Mapping[Any, Any] | None = None, options: Any = None, run_metadata: Any = None
    ) -> Any:
        """Values of a nest of fetches, as `tf.compat.v1.Session.run` gives them.

        Raises:
            TypeError, ValueError, KeyError: a fetch or a fed tensor is not in the graph.
            InvalidArgumentError: a placeholder that is needed is not fed.
            OutOfRangeError: a fetch needs a batch, and the input has ended.
        """
        if tf.executing_eagerly():
            return self._run(fetches, feed_dict)
        # Inside `graph.as_default()`, as hooks are called, nothing runs eagerly: a thread of ours has no default graph.
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="session")
        return self._thread.submit(self._run, fetches, feed_dict).result()

    def _run(self, structure: Any, feed_dict: Mapping[Any, Any] | None) -> Any:
        trace = self._trace
        fetches = Fetches(trace.variables, structure)
        feeds = feed_items(trace.variables, feed_dict)
        tensors = [tensor for tensor, _ in feeds.values()]
        arguments = [tf.constant(value, tensor.dtype) for tensor, value in feeds.values()]
        if self.written is not None:
            self.written |= trace.dependencies.written(fetches.elements, tensors)
        if self._source is not None and trace.dependencies.needs_other_processes(fetches.elements):
            raise RuntimeError(
                "session.run(...) can't give what all workers of the cluster compute together: ask for it in "
                "before_run, which every step does."
            )
        if self._source is not None and trace.dependencies.needs_batch(fetches.elements, tensors):
            outputs = iter(self._with_batch(fetches.elements, tensors, arguments))
        elif (
            self._source is not None
            and trace.strategy is not None
            and trace.dependencies.writes_model(fetches.elements)
        ):
            function = trace.functions.step_function(fetches.elements, tensors, batch=False)
            outputs = iter(function(arguments, self._state))
        else:
            outputs = iter(trace.functions.function(fetches.elements, tensors)(arguments, self._state))
        values = {e.name: to_numpy(next(outputs)) for e in fetches.elements if isinstance(e, tf.Tensor)}
        return fetches.values(values)

    def _with_batch(self, elements: list[Any], tensors: list[tf.Tensor], values: list[tf.Tensor]) -> list[tf.Tensor]:
        source = self._source
        assert source is not None
        if source.limit(1) < 1:
            raise tf.errors.OutOfRangeError(None, None, "The input has ended.")
        outputs = single_step(self._trace, elements, tensors, source, None)(source, self._state, values)
        source.advance(1)
        return outputs

    def save_checkpoint(self, step: int) -> None:
        """Writes a checkpoint; the session of a training can.

        Raises:
            RuntimeError: this is not the session of a training.
        """
        raise RuntimeError("Only a training can save a checkpoint; add the hook to train().")

    def should_stop(self) -> bool:
        return False

    def as_default(self) -> Any:
        raise RuntimeError("This session can't be made the default one; call session.run(...) instead.")

    def make_callable(self, fetches: Any, feed_list: Any = None, accept_options: bool = False) -> Any:
        """A function of the fed values, as `tf.compat.v1.Session.make_callable`."""
        keys = list(feed_list or [])
        return lambda *values: self.run(fetches, dict(zip(keys, values, strict=True)))

    def list_devices(self) -> Any:
        return tf.config.list_logical_devices()

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    def __enter__(self) -> EngineSession:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __del__(self) -> None:
        self.close()
