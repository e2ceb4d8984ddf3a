"""Requests of TensorFlow Serving's messages, as they came. Messages are those of `tfs_schema.WIRE`."""

from __future__ import annotations

from typing import Any

from app.protocols.examples import serialized_examples
from app.protocols.serving_requests import decode_examples, decode_predict, signature_of
from app.protocols.tensor_proto import decode_protos
from app.serving.asked import AskedHere
from app.serving.decode import Decoded, Decoder
from app.serving.large_body import INLINE_BYTES
from app.serving.tensor_rows import rows_of_tensors


class PredictAsked(AskedHere):
    """A PredictRequest.

    Args:
        most_bytes: that its tensors may take together.
    """

    most_copied = INLINE_BYTES

    def __init__(self, request: Any, most_bytes: int) -> None:
        self._request, self._most_bytes = request, most_bytes

    def decode(self, decoder: Decoder) -> Decoded:
        return decode_predict(decoder, self._request, self._request.inputs, self._most_bytes)

    def instances(self, decoder: Decoder) -> list[Any]:
        tensors = decode_protos(self._request.inputs, self._most_bytes)
        return rows_of_tensors(decoder, signature_of(self._request, "predict"), tensors)


class ExamplesAsked(AskedHere):
    """`tf.Example`s for a signature.

    Args:
        asked: has the model_spec.
        given: `tensorflow.serving.Input`.
        verb: classify or regress.
        most_bytes: that all examples may take once each has the context's features.
    """

    def __init__(self, asked: Any, given: Any, verb: str, most_bytes: int) -> None:
        self._asked, self._given, self._most_bytes = asked, given, most_bytes
        self.verb = verb

    def decode(self, decoder: Decoder) -> Decoded:
        return decode_examples(decoder, self._asked, self._given, self.verb, self._most_bytes)

    def instances(self, decoder: Decoder) -> list[Any]:
        return serialized_examples(self._given)
