"""Calls of ONNX Runtime, in the form of `FlatCall`. Imported by the predictor and by the process that converts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.serving.packing import object_array

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
"""Since 1.29 it sends events to its maker otherwise, from a thread that starts with its import."""


class NotComputed(Exception):
    """These values are TensorFlow's to compute, or to refuse."""


class OnnxCall:
    """One converted signature, called on arrays by the thread that asks; it starts no thread.

    Args:
        content: the model.
        inputs: names of its inputs, in the order of the values; those that the signature does not use it may lack.
    """

    def __init__(self, content: bytes, inputs: Sequence[str]) -> None:
        import onnxruntime  # 60 MB of code, so only where it is asked for

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what fails is told by the exception, and computed by TensorFlow
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        used = {given.name: given.type for given in self._session.get_inputs()}
        if not used.keys() <= set(inputs):
            raise ValueError("The model has other inputs than its signature.")
        self._places = [
            (place, name, used[name] == "tensor(string)") for place, name in enumerate(inputs) if name in used
        ]
        self._outputs = [given.name for given in self._session.get_outputs()]

    def __call__(self, values: Sequence[Any]) -> list[NDArray[Any]]:
        """The outputs as arrays.

        Raises:
            NotComputed: ONNX Runtime failed, or it or the conversion is known to treat such values in another way:
                numbers that are not finite, text that is no UTF-8 or has a zero byte.
        """
        feed = {}
        for place, name, text in self._places:
            value = values[place]
            if text:
                value = _texts(value)
            elif value.dtype.kind == "f" and not np.isfinite(value).all():
                raise NotComputed
            feed[name] = value
        try:
            outputs = self._session.run(self._outputs, feed)
        except Exception as error:  # ONNX Runtime's exceptions have no class in common
            raise NotComputed from error
        return [_bytes(output) if output.dtype.kind in "OU" else output for output in outputs]


def _texts(values: Any) -> NDArray[Any]:
    """Strings as ONNX Runtime takes them: it takes bytes for what Python shows of them."""
    array = np.array(values, object)
    texts = array.ravel().tolist()
    if bytes in set(map(type, texts)):
        try:
            texts = [value.decode() if isinstance(value, bytes) else value for value in texts]
        except UnicodeDecodeError:
            raise NotComputed from None
        array = object_array(texts, array.shape)
    if "\0" in "".join(texts):
        raise NotComputed
    return array


def _bytes(array: NDArray[Any]) -> NDArray[Any]:
    """Strings as TensorFlow gives them."""
    return object_array(list(map(str.encode, array.ravel().tolist())), array.shape)
