"""Requests that TensorFlow Serving runs when it loads a model: `assets.extra/tf_serving_warmup_requests`.

The file is a TFRecord file of `tensorflow.serving.PredictionLog`s. Of those messages few fields are needed, each of
them text or a message, so they are put together here instead of by another package's classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tensorflow as tf

WARM_UP_REQUESTS = "tf_serving_warmup_requests"


def write_warm_up_requests(path: Path, signatures: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes a PredictRequest for each signature.

    Args:
        signatures: names of signatures that take those inputs.
        inputs: input name to array, the batch first.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature in signatures:
            writer.write(_prediction_log(signature, inputs))


def _prediction_log(signature: str, inputs: Mapping[str, npt.NDArray[Any]]) -> bytes:
    model_spec = _field(3, signature.encode())
    request = _field(1, model_spec)
    for name, array in inputs.items():
        tensor = tf.make_tensor_proto(array).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))  # an entry of the map `inputs`
    predict_log = _field(1, request)
    return _field(6, predict_log)


def _field(number: int, content: bytes) -> bytes:
    """A field of text, bytes or a message, as protobuf writes it: tag, length, content."""
    length, size = len(content), bytearray()
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes([number << 3 | 2]) + bytes(size) + content
