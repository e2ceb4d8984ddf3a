"""Calls of a TensorFlow function with little around them. Imported by the predictor process only.

A call through `ConcreteFunction`, with `tf.constant` for each input and `numpy()` for each output, takes longer in
Python than a small network takes to compute. Here is what those come down to, for a call outside of graphs, tapes and
device scopes. These are private parts of TensorFlow: its version is pinned, and `tests/serving/test_flat_call.py`
compares.

The function is called by the operation `StatefulPartitionedCall`, not by its own name: TensorFlow runs a single
operation in the thread that calls it, wherever none of the function's own operations forbids that, and a function that
is called by its name always in a thread of its pool. To wake that thread and wait for it takes longer than a small
network does.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import context, core
from tensorflow.python.framework import ops

MOST_LEFT = 16
"""Functions of one form that are gone, at which what is left of them is dropped."""
_OPERATION = "StatefulPartitionedCall"


class FlatCall:
    """One concrete function, called on arrays.

    Args:
        function: takes tensors and returns a flat list of them. No operation of it may change an input in place.
        specs: of its inputs (`tf.TensorSpec`), in order.
    """

    def __init__(self, function: Any, specs: Sequence[Any]) -> None:
        current = context.context()
        current.ensure_initialized()
        self._context = current
        self._function = function  # its definition lives as long
        self._captured = list(function.captured_inputs)
        self._types = [spec.dtype.as_datatype_enum for spec in specs]
        self._outputs = len(function.outputs)
        types = [*self._types, *(tensor.dtype.as_datatype_enum for tensor in self._captured)]
        self._attributes = (
            *("f", function.inference_fn.name.decode()),
            *("Tin", types),
            *("Tout", [tensor.dtype.as_datatype_enum for tensor in function.outputs]),
            *(part for pair in current.function_call_options.as_attrs().items() for part in pair),
        )
        self._form = len(types), self._outputs

    def __call__(self, values: Sequence[Any]) -> list[NDArray[Any]]:
        """The outputs as arrays, whose memory is TensorFlow's: not to be written to.

        Args:
            values: an array for each input, of its dtype; for strings an array of objects or a (nested) list.

        Raises:
            tf.errors.OpError: the function failed.
            ValueError, TypeError: the values do not fit.
        """
        device = self._context.device_name
        make = ops.EagerTensor
        # None is the processor too; with the name of a device each tensor would go through an operation of its own.
        inputs = [make(value, None, kind) for value, kind in zip(values, self._types, strict=True)]
        LEFTOVERS.begin()
        try:
            outputs = pywrap_tfe.TFE_Py_Execute(
                self._context._handle, device, _OPERATION, inputs + self._captured, self._attributes, self._outputs
            )
        except core._NotOkStatusException as error:
            raise core._status_to_exception(error) from None
        finally:
            LEFTOVERS.end()
        return [output._numpy() for output in outputs]

    def __del__(self) -> None:
        if hasattr(self, "_form"):
            LEFTOVERS.add(self._form)


class Leftovers:
    """What TensorFlow keeps of functions that are gone: 0.1 MB and more of each, in its cache of kernels.

    The cache has an entry for each function, all under the name of the wrapper that it makes for each number of inputs
    and outputs. They can be dropped by that name only, all at once, so this is done now and then: after it the first
    call of each living function with that many inputs and outputs is prepared again, which takes 50 ms or so.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a collection of garbage inside may bring `add`
        self._running = 0
        self._just_gone: deque[tuple[int, int]] = deque()
        self._gone: Counter[tuple[int, int]] = Counter()
        self._wanted = False

    def add(self, form: tuple[int, int]) -> None:
        """A function with that many inputs (captured ones too) and outputs is gone."""
        self._just_gone.append(form)

    def begin(self) -> None:
        """A call begins, as soon as nothing is being dropped: TensorFlow crashes where both go on at once."""
        with self._lock:
            self._running += 1

    def end(self) -> None:
        with self._lock:
            self._running -= 1
            if self._wanted and not self._running:
                self._drop()

    def drop(self) -> None:
        """Drops them where there are `MOST_LEFT` or more: now, or at the end of the calls that are under way."""
        with self._lock:
            while self._just_gone:
                self._gone[self._just_gone.popleft()] += 1
            self._wanted = any(count >= MOST_LEFT for count in self._gone.values())
            if self._wanted and not self._running:
                self._drop()

    def _drop(self) -> None:
        self._wanted = False
        current = context.context()
        for form, count in list(self._gone.items()):
            if count >= MOST_LEFT:
                del self._gone[form]
                if current.has_function(name := wrapper_name(*form)):
                    current.remove_function(name)


def wrapper_name(inputs: int, outputs: int) -> str:
    """Of the function that TensorFlow wraps our operation in."""
    device = "/job:localhost/replica:0/task:0/device:CPU:0"
    return f"__wrapped__{_OPERATION}_Tin_{inputs}_Tout_{outputs}_device_{device}"


LEFTOVERS = Leftovers()
