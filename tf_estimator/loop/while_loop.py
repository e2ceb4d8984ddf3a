"""A while loop written directly into a graph definition.

`tf.while_loop` wraps a step into functions that take time to make, and passes every tensor from outside on from step to
step. Here the operations of a step become the body of the loop as they are, and what comes from outside enters the loop
once, as a constant. Both the first call and each step get cheaper.

The operations that control the loop (Enter, Merge, Switch, NextIteration, Exit) are those of "Dynamic control flow in
large-scale machine learning" (Yu et al. 2018).
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

v1 = tf.compat.v1

_SCOPE = "engine.loop"


class GraphLoop:
    """The definition of a loop that counts from 0.

    A tensor is called by the name that a node's input has, `node` or `node:1`; one from outside has to be given where
    the definition is imported.

    Args:
        outside: tensors from outside, `node:0` to dtype.

    Attributes:
        definition: the graph definition so far.
        index: int64 number of the present step.
        started: an operation that runs once at the start of each step.
    """

    def __init__(self, outside: Mapping[str, tf.DType]) -> None:
        self.definition = v1.GraphDef()
        self._outside = dict(outside)
        self._frame = f"{_SCOPE}-{uuid.uuid4().hex}"
        self._entered: dict[str, str] = {}
        self._carried: list[tuple[str, tf.DType]] = []
        self._again: list[str] = []
        self.index = f"{_SCOPE}/index/switch:1"
        self.started = f"{_SCOPE}/started"
        self._now = self.carry("index", self.constant("zero", 0, tf.int64), tf.int64)
        self._add("Identity", self.started, [self.index], T=tf.int64)

    def constant(self, name: str, value: Any, dtype: tf.DType) -> str:
        """A constant outside of the loop."""
        node = self._add("Const", f"{_SCOPE}/{name}", [], dtype=dtype)
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, dtype))
        self._outside[f"{node.name}:0"] = dtype
        return str(node.name)

    def carry(self, name: str, start: str, dtype: tf.DType) -> str:
        """A value that each step hands to the next; returns it as the condition sees it.

        In the step it is `engine.loop/<name>/switch:1`, after the loop `engine.loop/<name>/exit`.
        """
        scope = f"{_SCOPE}/{name}"
        self._add("Enter", f"{scope}/enter", [start], T=dtype, frame_name=self._frame, parallel_iterations=1)
        self._add("Merge", f"{scope}/merge", [f"{scope}/enter", f"{scope}/next"], T=dtype, N=2)
        self._add("Switch", f"{scope}/switch", [f"{scope}/merge", f"{_SCOPE}/goes_on"], T=dtype)
        self._add("Exit", f"{scope}/exit", [f"{scope}/switch"], T=dtype)
        return f"{scope}/merge"

    def exit_of(self, name: str) -> str:
        """The tensor that a carried value is after the loop."""
        return f"{_SCOPE}/{name}/exit:0"

    def enter(self, tensor: str) -> str:
        """A tensor from outside, in the loop."""
        key = _full(tensor)
        if key not in self._entered:
            name = f"{_SCOPE}/enter/{len(self._entered)}"
            dtype = self._outside[key]
            self._add("Enter", name, [tensor], T=dtype, frame_name=self._frame, parallel_iterations=1, is_constant=True)
            self._entered[key] = name
        return self._entered[key]

    def add_nodes(self, nodes: Iterable[Any], replaced: Mapping[str, str], after: str) -> None:
        """Adds operations to the step.

        Args:
            nodes: their definitions; colocation left out.
            replaced: tensors that they take, `node:0`, to those that they get instead.
            after: an operation in the step. What depends on nothing in the step runs after it.
        """
        for node in nodes:
            added = self.definition.node.add()
            added.CopyFrom(node)
            added.ClearField("input")
            free = True
            for name in node.input:
                control, key = name.startswith("^"), _full(name)
                if not control and key in self._outside:
                    added.input.append(self.enter(name))
                elif not (control and f"{name[1:]}:0" in self._outside):
                    added.input.append(name if control else replaced.get(key, name))
                    free = False
            # A call may be inlined; what takes nothing in the function then waits for what the call waits for.
            if free or _calls(node):
                added.input.append(f"^{after}")

    def logical_and(self, name: str, one: str, other: str) -> str:
        """Whether `one` and `other` are true."""
        return str(self._add("LogicalAnd", f"{_SCOPE}/{name}", [one, other]).name)

    def compare(self, name: str, one: str, other: str) -> str:
        """Whether `one` is less than `other`, both int64."""
        return str(self._add("Less", f"{_SCOPE}/{name}", [one, other], T=tf.int64).name)

    def finite(self, name: str, one: str) -> str:
        """Whether the float32 scalar `one` is finite."""
        return str(self._add("IsFinite", f"{_SCOPE}/{name}", [one], T=tf.float32).name)

    def cast(self, name: str, one: str, dtype: tf.DType, wanted: tf.DType) -> str:
        """`one` as another dtype."""
        if dtype == wanted:
            return one
        return str(self._add("Cast", f"{_SCOPE}/{name}", [one], SrcT=dtype, DstT=wanted).name)

    def read(self, name: str, handle: str, dtype: tf.DType, after: Sequence[str]) -> str:
        """The value of a variable once the operations `after` are done."""
        inputs = [handle, *(f"^{operation}" for operation in after)]
        return str(self._add("ReadVariableOp", f"{_SCOPE}/{name}", inputs, dtype=dtype).name)

    def store(self, name: str, handle: str, tensor: str, dtype: tf.DType) -> str:
        """An operation that writes `tensor` to the row of a variable that has the number of the step."""
        inputs = [handle, self.index, tensor]
        return str(self._add("ResourceScatterUpdate", f"{_SCOPE}/{name}", inputs, dtype=dtype, Tindices=tf.int64).name)

    def wait(self, name: str, operations: Sequence[str]) -> str:
        """An operation that runs when the `operations` are done."""
        return str(self._add("NoOp", f"{_SCOPE}/{name}", [f"^{operation}" for operation in operations]).name)

    def hand_on(self, name: str, tensor: str, dtype: tf.DType) -> None:
        """Makes `tensor` what the next step has as the carried value `name`."""
        self._add("NextIteration", f"{_SCOPE}/{name}/next", [tensor], T=dtype)

    def close(self, steps: str, conditions: Sequence[str], done: Collection[str]) -> None:
        """Ends the definition.

        Args:
            steps: how many steps at most, int64 from outside.
            conditions: further conditions for another step.
            done: the operations that make a step.
        """
        goes_on = self.compare("less", self._now, self.enter(steps))
        for number, condition in enumerate(conditions):
            goes_on = self.logical_and(f"and_{number}", goes_on, condition)
        self._add("LoopCond", f"{_SCOPE}/goes_on", [goes_on])
        one = self.enter(self.constant("one", 1, tf.int64))
        inputs = [self.index, one, *(f"^{name}" for name in sorted(set(done)))]
        self.hand_on("index", str(self._add("AddV2", f"{_SCOPE}/add", inputs, T=tf.int64).name), tf.int64)

    def _add(self, op: str, name: str, inputs: Sequence[str], **attributes: Any) -> Any:
        node = self.definition.node.add(op=op, name=name, input=inputs)
        for key, value in attributes.items():
            if isinstance(value, tf.DType):
                node.attr[key].type = value.as_datatype_enum
            elif isinstance(value, bool):
                node.attr[key].b = value
            elif isinstance(value, int):
                node.attr[key].i = value
            else:
                node.attr[key].s = value.encode()
        return node


def _full(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"


def _calls(node: Any) -> bool:
    """Whether an operation runs functions of the graph's library."""
    return any(value.HasField("func") or value.list.func for value in node.attr.values())
