"""Calls of a TensorFlow function with little around them. Imported by the predictor process only.

A call through `ConcreteFunction`, with `tf.constant` for each input and `numpy()` for each output, takes longer in
Python than a small network takes to compute. Here is what those come down to, for a call outside of graphs, tapes and
device scopes. These are private parts of TensorFlow: its version is pinned, and `tests/serving/test_flat_call.py`
compares.

The function is called by its own name. The raw op `StatefulPartitionedCall` would cost as little, but TensorFlow's
cache of kernels keeps what such a call made of a function (40 kB and more) after the function is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import context, core
from tensorflow.python.framework import ops


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
        self._name = function.inference_fn.name.decode()
        self._attributes = tuple(part for pair in current.function_call_options.as_attrs().items() for part in pair)
        self._captured = list(function.captured_inputs)
        self._types = [spec.dtype.as_datatype_enum for spec in specs]
        self._outputs = len(function.outputs)

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
        inputs = [make(value, device, kind) for value, kind in zip(values, self._types, strict=True)]
        try:
            outputs = pywrap_tfe.TFE_Py_Execute(
                self._context._handle, device, self._name, inputs + self._captured, self._attributes, self._outputs
            )
        except core._NotOkStatusException as error:
            raise core._status_to_exception(error) from None
        return [output._numpy() for output in outputs]
