"""Requests of TensorFlow Serving's messages as rows of a version: of its gRPC services, and of warm-up records.

Messages are those of `tfs_schema.WIRE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.errors import Conflict, InvalidInput, quote_name
from app.protocols.examples import decode_input
from app.protocols.tensor_proto import decode_protos
from app.serving.decode import Decoded, Decoder
from app.serving.tensors import decode_tensors
from app.serving.verbs import VERBS

_METHOD_PREFIX = "tensorflow/serving/"
_MOST_TASKS = 64


def signature_of(asked: Any, verb: str) -> str:
    """The signature that a message's model_spec names, else that of the verb."""
    return asked.model_spec.signature_name or VERBS[verb].signature


def decode_predict(decoder: Decoder, request: Any, inputs: Mapping[str, Any], most_bytes: int) -> Decoded:
    """The rows of a PredictRequest.

    Args:
        inputs: its tensors by the names of features.
        most_bytes: that the tensors may take together.

    Raises:
        InvalidInput: inputs or output filter do not fit the signature.
        Conflict: the version does not have the signature.
    """
    signature = signature_of(request, "predict")
    if signature not in decoder.export.signatures:
        raise Conflict(f"Serving signature key {quote_name(signature)} not found.{_known(decoder)}")
    names = {output.name for output in decoder.export.signatures[signature].outputs}
    _check_filter(request.output_filter, names)
    return decode_tensors(decoder, signature, decode_protos(inputs, most_bytes))


def decode_examples(decoder: Decoder, asked: Any, given: Any, verb: str, most_bytes: int) -> Decoded:
    """The rows of a message that brings `tf.Example`s.

    Args:
        asked: has the model_spec.
        given: `tensorflow.serving.Input`.
        verb: classify or regress.
        most_bytes: as `decode_input` says.

    Raises InvalidInput.
    """
    signature = signature_of(asked, verb)
    found = decoder.export.signatures.get(signature)
    if found is None:
        raise InvalidInput(f"No signature was found with the name {quote_name(signature)}.{_known(decoder)}")
    if found.method != verb:
        raise InvalidInput(
            f"The signature {quote_name(signature)} answers {_METHOD_PREFIX}{found.method}, not {_METHOD_PREFIX}{verb}."
        )
    return decode_input(decoder, signature, given, most_bytes)


def tasks_of(request: Any) -> list[Any]:
    """The tasks of a MultiInferenceRequest. Raises InvalidInput: there are too many, or none."""
    if not 0 < len(request.tasks) <= _MOST_TASKS:
        raise InvalidInput(f"A MultiInferenceRequest has 1 to {_MOST_TASKS} tasks; this one has {len(request.tasks)}.")
    return list(request.tasks)


def verbs_of(tasks: Sequence[Any]) -> list[str]:
    """classify or regress, for each task of a MultiInferenceRequest. Raises InvalidInput."""
    verbs = [task.method_name.removeprefix(_METHOD_PREFIX) for task in tasks]
    for task, verb in zip(tasks, verbs, strict=True):
        if verb not in ("classify", "regress") or not task.method_name.startswith(_METHOD_PREFIX):
            raise InvalidInput(f"Unsupported method_name {quote_name(task.method_name)}.")
    return verbs


def _known(decoder: Decoder) -> str:
    return f" The model has {', '.join(sorted(decoder.export.signatures))}."


def _check_filter(wanted: Sequence[str], names: Iterable[str]) -> None:
    for i, name in enumerate(wanted):
        if name not in names:
            raise InvalidInput(f"output tensor alias not found in signature: {quote_name(name)}")
        if name in wanted[:i]:
            raise InvalidInput(f"duplicate output tensor alias: {quote_name(name)}")
