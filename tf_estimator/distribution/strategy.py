"""The strategy that a model_fn sees: a `tf.distribute.Strategy` under which one replica of many is traced.

TensorFlow's and Keras' optimizers, moving averages and synchronized layers ask the strategy around them to reduce
values over replicas. Here such a value gets a mark in the graph, an operation that passes it through;
`replicate` replaces the marks when it makes the copies.

Gradients are averaged, as `tf.estimator` did for the optimizers of `tf.compat.v1.train`, unless the loss is known to be
one term of a sum: a head or a `tf.compat.v1.losses` function with a SUM reduction, or, with a Keras optimizer, a
model_fn that asks for `num_replicas_in_sync` and so scales its loss itself, as Keras wants it.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from .replicas import Replicas

v1 = tf.compat.v1

SUM, MEAN, ROWS = "sum", "mean", "rows"

#: Numbers of marks, never used twice in a process: collective operations of one number must have one shape.
_numbers = itertools.count(1)


def next_collective_number() -> int:
    """A number for a collective operation, the same in all processes that ask for as many."""
    return next(_numbers)


#: Code that computes a loss as if it were alone; the reduction makes up for it.
_LIBRARIES = ("keras.", "tensorflow.")


@dataclass(frozen=True)
class Mark:
    """A value that is to be reduced over replicas.

    Attributes:
        operation: name of the marking operation; its input is the value.
        kind: SUM or MEAN, element by element, or ROWS: the rows of all replicas, one after the other.
        number: the same in all processes of a cluster; 0 without one.
    """

    operation: str
    kind: str
    number: int


class ReplicaStrategy(tf.distribute.Strategy):  # type: ignore[misc]
    """The strategy of one trace.

    Args:
        replicas: the run's.
        graph: the trace's graph.

    Attributes:
        marks: the values to reduce.
        replica_id: name of the tensor that is this replica's number.
        sums: whether gradients are summed, so that the global loss is a sum too; False for means.
    """

    def __init__(self, replicas: Replicas, graph: tf.Graph) -> None:
        self.replicas = replicas
        self.graph = graph
        self.marks: list[Mark] = []
        self.sums = False
        self._asked_for_number = False
        self._suspended = False
        with graph.as_default():
            number = v1.placeholder_with_default(tf.constant(0), [], name="replica_id")
        self.replica_id = str(number.name)
        self._number = number
        super().__init__(_Extended(self))

    @contextlib.contextmanager
    def tracing(self) -> Iterator[ReplicaStrategy]:
        """The scope in which model_fn is called; enter it inside the graph."""
        with self.scope(), _ReplicaContext(self, self._number):
            yield self

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Values are not reduced here: they are already."""
        before, self._suspended = self._suspended, True
        try:
            yield
        finally:
            self._suspended = before

    @property
    def num_replicas_in_sync(self) -> int:
        return self.count_for(sys._getframe(1).f_globals.get("__name__", ""))

    def count_for(self, module: str) -> int:
        """The number of replicas that code of `module` gets: libraries scale losses by it, which the reduction does."""
        if module.startswith(_LIBRARIES):
            return 1
        self._asked_for_number = self._asked_for_number or not module.startswith("tf_estimator.")
        return self.replicas.total

    def reduced(self, value: Any, kind: str) -> Any:
        """`value`, reduced over all replicas by `kind`; IndexedSlices too.

        Raises:
            ValueError: it is made inside a function or a branch, where it can't be reduced.
            TypeError: the mean of integers.
        """
        if self._suspended:
            return value
        if isinstance(value, tf.IndexedSlices):
            values, indices = self._marked(value.values, ROWS), self._marked(value.indices, ROWS)
            if kind == MEAN:
                values = values / tf.cast(self.replicas.total, values.dtype)
            return tf.IndexedSlices(values, indices, value.dense_shape)
        value = tf.convert_to_tensor(value)
        if kind == MEAN and not (value.dtype.is_floating or value.dtype.is_complex):
            raise TypeError(f"The mean over replicas of {value.name} can't be taken, for its type is {value.dtype}.")
        return self._marked(value, kind)

    def reduced_loss(self, loss: Any) -> Any:
        """The loss of the global batch."""
        return self.reduced(loss, SUM if self.sums else MEAN)

    def reduced_gradients(self, gradients: Sequence[Any], keras: bool = False) -> list[Any]:
        """The gradients of the global batch's loss."""
        # tf.compat.v1.losses notes its reduction there.
        total = getattr(self.graph, "_last_loss_reduction", None) == v1.losses.Reduction.SUM
        self.sums = self.sums or total or (keras and self._asked_for_number)
        kind = SUM if self.sums else MEAN
        packed = [g for g in gradients if self.replicas.workers > 1 and _packable(g)]
        if len(packed) < 2:
            return [self.reduced(g, kind) for g in gradients]
        # One message between processes instead of many.
        together = self.reduced(tf.concat([tf.reshape(g, [-1]) for g in packed], 0), kind)
        parts = tf.split(together, [g.shape.num_elements() for g in packed])
        unpacked = {id(g): tf.reshape(part, g.shape) for g, part in zip(packed, parts, strict=True)}
        return [unpacked[id(g)] if id(g) in unpacked else self.reduced(g, kind) for g in gradients]

    def _marked(self, value: Any, kind: str) -> tf.Tensor:
        value = tf.convert_to_tensor(value)
        if v1.get_default_graph() is not self.graph:
            raise ValueError(
                f"{value.name} is to be reduced over replicas inside a tf.function, tf.cond or tf.while_loop, which is "
                "not supported: apply gradients and call all_reduce outside of it, in model_fn itself."
            )
        shape = value.shape if kind != ROWS else tf.TensorShape([None]).concatenate(value.shape[1:])
        mark = v1.placeholder_with_default(value, shape, name="reduced_over_replicas")
        self.marks.append(Mark(mark.op.name, kind, next_collective_number() if self.replicas.workers > 1 else 0))
        return mark


def _packable(gradient: Any) -> bool:
    return bool(isinstance(gradient, tf.Tensor) and gradient.dtype == tf.float32 and gradient.shape.is_fully_defined())


def current() -> ReplicaStrategy | None:
    """The strategy of the trace that is being made, if it has several replicas."""
    found = tf.distribute.get_strategy() if not tf.executing_eagerly() else None
    return found if isinstance(found, ReplicaStrategy) else None


def suspended() -> contextlib.AbstractContextManager[None]:
    """Values that are reduced already are not reduced again here."""
    strategy = current()
    return contextlib.nullcontext() if strategy is None else strategy.suspended()


def loss_is_a_sum() -> None:
    """Says that the loss of the global batch is the sum, not the mean, of those of the replicas."""
    strategy = current()
    if strategy is not None:
        strategy.sums = True


class _ReplicaContext(tf.distribute.ReplicaContext):  # type: ignore[misc]
    def all_reduce(self, reduce_op: Any, value: Any, options: Any = None) -> Any:
        """As in the base class; a Keras optimizer asks here for the sum of gradients."""
        caller = sys._getframe(1).f_locals.get("self")
        if isinstance(caller, tf.keras.optimizers.Optimizer):
            return self._strategy.reduced_gradients(value, keras=True)
        return super().all_reduce(reduce_op, value, options)

    @property
    def num_replicas_in_sync(self) -> int:
        return self._strategy.count_for(sys._getframe(1).f_globals.get("__name__", ""))  # type: ignore[no-any-return]


class _Extended(v1.distribute.StrategyExtended):  # type: ignore[misc,name-defined]
    """What tf.distribute calls; the names are its own."""

    def __init__(self, strategy: ReplicaStrategy) -> None:
        self._devices = strategy.replicas.devices
        super().__init__(strategy)

    def _create_variable(self, next_creator: Any, **kwargs: Any) -> Any:
        kwargs.pop("colocate_with", None)
        return next_creator(**kwargs)

    def _reduce_to(self, reduce_op: Any, value: Any, destinations: Any, options: Any) -> Any:
        return self._batch_reduce_to(reduce_op, [(value, destinations)], options)[0]

    def _batch_reduce_to(self, reduce_op: Any, value_destination_pairs: Any, options: Any) -> list[Any]:
        strategy = self._container_strategy()
        values = [value for value, _ in value_destination_pairs]
        to_variables = all(isinstance(destination, tf.Variable) for _, destination in value_destination_pairs)
        if to_variables and _called_by_optimizer() and reduce_op == tf.distribute.ReduceOp.SUM:
            return strategy.reduced_gradients(values)  # type: ignore[no-any-return]
        kind = MEAN if reduce_op == tf.distribute.ReduceOp.MEAN else SUM
        return [strategy.reduced(value, kind) for value in values]

    def _gather_to_implementation(self, value: Any, destinations: Any, axis: Any, options: Any) -> Any:
        if tf.get_static_value(axis) != 0:
            raise ValueError("Values of replicas can be gathered along axis 0 only; transpose them.")
        return self._container_strategy().reduced(value, ROWS)

    def _update(self, var: Any, fn: Any, args: Any, kwargs: Any, group: bool) -> Any:
        return self._update_non_slot(var, fn, (var, *args), kwargs, group)

    def _update_non_slot(self, colocate_with: Any, fn: Any, args: Any, kwargs: Any, group: bool) -> Any:
        made = fn(*args, **(kwargs or {}))
        return made if group else (made,)

    def _local_results(self, val: Any) -> Any:
        return (val,)

    def _get_local_replica_id(self, replica_id_in_sync_group: Any) -> Any:
        return replica_id_in_sync_group

    def value_container(self, value: Any) -> Any:
        return value

    def read_var(self, v: Any) -> Any:
        return tf.identity(v)

    def non_slot_devices(self, var_list: Any) -> Any:
        return min(var_list, key=lambda variable: str(variable.name))

    @property
    def _num_replicas_in_sync(self) -> int:
        return int(self._container_strategy().replicas.total)

    @property
    def worker_devices(self) -> tuple[str, ...]:
        return tuple(self._devices)

    @property
    def parameter_devices(self) -> tuple[str, ...]:
        return tuple(self._devices)


def _called_by_optimizer() -> bool:
    """Whether an optimizer of `tf.compat.v1.train` is among the callers."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self") if "self" in frame.f_code.co_varnames else None
        if isinstance(owner, v1.train.Optimizer):
            return True
        frame = frame.f_back
    return False
