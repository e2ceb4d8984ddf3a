"""Variables by name: how a trace's variables are named, and the eager variables that hold their values.

A model_fn is traced in a graph; its variables there are only names and shapes. The values live in a `VariableSet`, one
per state of the model (the one being trained, or a checkpoint that someone predicts from), and every traced function
takes the handles of a set as arguments. So one trace serves any number of sets, and one set serves all modes.
"""

from __future__ import annotations

import contextlib
import functools
import re
import sys
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

v1 = tf.compat.v1
_PART = re.compile(r"/part_\d+$")  # what get_variable puts behind the name of a partitioned variable


@dataclass(frozen=True, eq=False)
class TracedVariable:
    """A variable of a trace.

    Attributes:
        name: name in checkpoints.
        variable: the resource variable in the trace's graph.
        keras: whether a `keras.Variable` holds it; its assignments then happen in program order, as Keras expects.
    """

    name: str
    variable: Any
    keras: bool

    @property
    def key(self) -> str:
        """Name of the operation that makes the handle; unique in the graph."""
        return str(self.variable.handle.op.name)

    @property
    def trainable(self) -> bool:
        return bool(self.variable.trainable)

    @property
    def optional(self) -> bool:
        """Whether a checkpoint may lack it: a seed, or a variable that the graph makes and never takes.

        The latter is what an optimizer leaves in an evaluation when model_fn makes it in every mode.
        """
        if self.name.endswith("seed_generator_state"):
            return True
        made_with = {
            f"{self.key}/{part}" for part in ("Assign", "IsInitialized/VarIsInitializedOp", "Read/ReadVariableOp")
        }
        users = self.variable.handle.consumers()
        idle = all(op.name in made_with and not any(t.consumers() for t in op.outputs) for op in users)
        return idle and not self.trainable


class VariableNames:
    """Names of all variables that are made while `collect` is entered.

    A variable made by Keras takes `keras.Variable.path`, which does not depend on how often a layer was called before;
    any other takes the name of its operation. A name that comes twice in one trace gets `_1`, `_2` ….

    Args:
        restored: names of variables whose values come from a checkpoint. Those of `get_variable` get no operations for
            their initial values, which would take half of the time to make a small network's graph; they are zero.
        cellless: names of the directory that are kept as earlier releases gave them (see `without_cell`).
    """

    def __init__(self, restored: Iterable[str] = (), cellless: Iterable[str] = ()) -> None:
        self._restored, self._cellless = frozenset(restored), frozenset(cellless)
        self.variables: list[TracedVariable] = []
        self._taken: set[str] = set()
        self._seen: set[int] = set()

    @contextlib.contextmanager
    def collect(self) -> Iterator[VariableNames]:
        """Records the variables made in the current graph; enter it inside the graph."""

        def record(next_creator: Any, **kwargs: Any) -> Any:
            if _PART.sub("", kwargs.get("name") or "") in self._restored and _is_plain(kwargs):
                kwargs["initial_value"] = functools.partial(tf.constant, 0, kwargs["dtype"], kwargs["shape"])
            # References, which v2 switched off stands for, have no handle that could be replaced by another set's.
            variable = next_creator(**{**kwargs, "use_resource": True})
            self.add(variable, _keras_path())
            return variable

        with v1.variable_creator_scope(record):
            yield self

    def add(self, variable: Any, path: str | None = None) -> None:
        """Records `variable` under `path` (Keras) or its own name; a second time is ignored."""
        parts = list(variable) if type(variable).__name__ == "PartitionedVariable" else [variable]
        for part in parts:
            if id(part) in self._seen:
                continue
            self._seen.add(id(part))
            wanted = path or part.op.name
            if self._cellless and without_cell(wanted) in self._cellless:
                wanted = without_cell(wanted)
            name, count = wanted, 0
            while name in self._taken:
                count += 1
                name = f"{wanted}_{count}"
            self._taken.add(name)
            self.variables.append(TracedVariable(name, part, path is not None))

    def add_collections(self, graph: tf.Graph) -> None:
        """Records what is in the graph's collections and was made outside of `collect` (by a hook's `begin`, say)."""
        for key in (v1.GraphKeys.GLOBAL_VARIABLES, v1.GraphKeys.LOCAL_VARIABLES, v1.GraphKeys.METRIC_VARIABLES):
            for variable in graph.get_collection(key):
                self.add(variable)


def _is_plain(made: Mapping[str, Any]) -> bool:
    """Whether a variable is made as `get_variable` does: of a known shape, and under exactly the name that it gives."""
    shape, dtype = made.get("shape"), made.get("dtype")
    if not callable(made.get("initial_value")) or not isinstance(shape, tf.TensorShape) or dtype is None:
        return False
    numeric = tf.as_dtype(dtype).is_floating or tf.as_dtype(dtype).is_integer
    return numeric and shape.is_fully_defined() and not v1.get_default_graph().get_name_scope()


def _keras_path() -> str | None:
    """Path of the `keras.Variable` that is being made by the callers, or None."""
    keras = sys.modules.get("keras")
    if keras is None:
        return None
    frame = sys._getframe(2)
    while frame is not None:
        owner = frame.f_locals.get("self") if "self" in frame.f_code.co_varnames else None
        if isinstance(owner, keras.Variable):
            return str(owner.path)
        frame = frame.f_back  # type: ignore[assignment]
    return None


class VariableSet:
    """Eager variables by name: one state of a model.

    Further replicas have a copy of each variable on their device; functions of theirs keep it up to date from the last
    `broadcast` on.

    The set knows which checkpoint its values equal, so that nothing is restored twice: `loaded_from` and `saved_to`
    note the checkpoint, `mark_modified` has to be called before a step writes the variables.

    Args:
        device: where the variables live; None leaves it to TensorFlow.
        handles_only: whether only the variables' handles are wanted, which stand for those of other sets while
            functions are made; the variables then take no memory and can't be read.

    Attributes:
        bound: functions, and what they take of this set in a call.
    """

    def __init__(self, device: str | None = None, *, handles_only: bool = False) -> None:
        self._known = False  # whether the values are those of `_checkpoint`, or initial ones if that is None
        self._checkpoint: str | None = None
        self._device = device
        self._handles_only = handles_only
        self._variables: dict[str, tf.Variable] = {}
        self._copies: dict[str, dict[str, tf.Variable]] = {}
        self.bound: weakref.WeakKeyDictionary[Any, list[tf.Tensor]] = weakref.WeakKeyDictionary()

    def __contains__(self, name: str) -> bool:
        return name in self._variables

    def __getitem__(self, name: str) -> tf.Variable:
        return self._variables[name]

    def names(self) -> list[str]:
        return list(self._variables)

    def loaded_from(self, path: str | None) -> None:
        """Notes that the values are now those of the checkpoint `path`; None for initial values."""
        self._known, self._checkpoint = True, path

    def saved_to(self, path: str) -> None:
        """Notes that the values were written to the checkpoint `path`."""
        self.loaded_from(path)

    def mark_modified(self) -> None:
        """Notes that the values equal no checkpoint any more, or soon won't."""
        self._known = False

    def matches(self, path: str | None) -> bool:
        """Whether the values are those of the checkpoint `path`, or initial ones if None."""
        return self._known and self._checkpoint == path

    def variable_on(self, name: str, device: str | None) -> tf.Variable:
        """A variable, or (with a device) the copy of it that a further replica has."""
        return self._variables[name] if device is None else self._copies[device][name]

    def handles(self) -> dict[int, tuple[str, str | None]]:
        """The arguments of `variable_on` by the identity of the handle that it gives."""
        found: dict[int, tuple[str, str | None]] = {id(v.handle): (n, None) for n, v in self._variables.items()}
        for device, copies in self._copies.items():
            found.update({id(v.handle): (n, device) for n, v in copies.items()})
        return found

    def ensure(self, traced: Iterable[TracedVariable]) -> list[TracedVariable]:
        """Makes the variables that are not there yet (zero for now); returns them."""
        missing = [t for t in traced if t.name not in self._variables]
        for t in missing:
            self._variables[t.name] = self._made(t.variable.shape, t.variable.dtype.base_dtype, self._device)
        return missing

    def _made(self, shape: tf.TensorShape, dtype: tf.DType, device: str | None) -> tf.Variable:
        with tf.device(device):
            made = tf.Variable(tf.zeros(shape if shape.is_fully_defined() else [], dtype), shape=shape, trainable=False)
            if self._handles_only:
                tf.raw_ops.AssignVariableOp(resource=made.handle, value=tf.zeros([], dtype))
        return made

    def copy(self, names: Iterable[str], device: str) -> None:
        """Makes the copies on `device` that are missing, with the present values."""
        copies = self._copies.setdefault(device, {})
        for name in names:
            if name in copies:
                continue
            variable = self._variables[name]
            copies[name] = self._made(variable.shape, variable.dtype, device)
            if not self._handles_only:
                copies[name].assign(variable.read_value(), read_value=False)

    def broadcast(self, names: Iterable[str], devices: Iterable[str]) -> None:
        """Gives the copies on `devices` the present values."""
        for device in devices:
            for name in names:
                self._copies[device][name].assign(self._variables[name].read_value(), read_value=False)

    def sum_copies(self, names: Iterable[str]) -> None:
        """Adds the values of all copies to the variables."""
        for name in names:
            for copies in self._copies.values():
                if name in copies:
                    self._variables[name].assign_add(copies[name].read_value(), read_value=False)

    def assign(self, values: Mapping[str, Any]) -> None:
        """Sets variables that are there; values are arrays or tensors."""
        for name, value in values.items():
            self._variables[name].assign(value, read_value=False)

    def snapshot(self, names: Iterable[str]) -> VariableSet:
        """An own copy of some variables' present values. Buffers are shared until either side writes."""
        copy = VariableSet()
        copy._known, copy._checkpoint = self._known, self._checkpoint
        for name in names:
            variable = self._variables[name]
            copy._variables[name] = tf.Variable(variable.read_value(), shape=variable.shape, trainable=False)
        return copy

    def values(self, names: Iterable[str]) -> dict[str, tf.Tensor]:
        """Present values as tensors; later writes to the variables do not change them."""
        return {name: self._variables[name].read_value() for name in names}


# Earlier releases of `tf.estimator` called a single recurrent cell's variables `rnn_model/rnn/kernel`, which is
# `rnn_model/rnn/lstm_cell/kernel` since. Either is read under both names, and a directory keeps those that it has; so
# do the slots of the optimizer, whose names contain the variable's.
_CELL_PART = r"(?:recurrent_kernel|kernel|bias)(?=/|$)"
_WITH_CELL = re.compile(rf"(rnn_model/rnn/)(?:lstm|gru|simple_rnn)_cell/({_CELL_PART})")
_WITHOUT_CELL = re.compile(rf"rnn_model/rnn/{_CELL_PART}")


def without_cell(name: str) -> str:
    """The name that earlier releases gave."""
    return _WITH_CELL.sub(r"\1\2", name)


def cellless(names: Iterable[str]) -> frozenset[str]:
    """Those of the names that have no cell's name."""
    return frozenset(name for name in names if _WITHOUT_CELL.search(name))


def stored_name(name: str, stored: Collection[str]) -> str:
    """The name under which a checkpoint of variables `stored` holds the variable; `name` where it holds none."""
    if name in stored:
        return name
    short = without_cell(name)
    if short in stored:
        return short
    if not _WITHOUT_CELL.search(name):
        return name
    return next((other for other in stored if without_cell(other) == name), name)
