"""Warm-up records of TensorFlow Serving: each a `tensorflow.serving.PredictionLog`, whose request is run at load."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from app.errors import InvalidInput
from app.protocols.serving_requests import decode_examples, decode_predict, tasks_of, verbs_of
from app.protocols.tfs_schema import WIRE
from app.serving.decode import Decoded, Decoder

_PredictionLog = WIRE.message("tensorflow.serving.PredictionLog")


def decode_record(decoder: Decoder, record: bytes, most_bytes: int) -> list[Decoded]:
    """The requests of a record: none of an empty log, one a task of a MultiInferenceRequest, else one.

    A version's name, number and label are not looked at. Inputs go by the names of the features, or by those of the
    SavedModel's own signature where these differ, so that TensorFlow Serving can read the same file.

    Args:
        most_bytes: that the tensors of a request may take together.

    Raises:
        ServiceError: the request does not fit the version.
        InvalidInput: the record is no PredictionLog, or one of a kind that is not run.
    """
    try:
        log = _PredictionLog.FromString(record)
    except DecodeError:
        raise InvalidInput("It is no PredictionLog.") from None
    kind = log.WhichOneof("log_type")
    if kind is None:
        return []
    if kind in ("session_run_log", "predict_streamed_log"):
        raise InvalidInput(f"A {kind} is not run.")
    request = getattr(log, kind).request
    if kind == "predict_log":
        decoded = [decode_predict(decoder, request, _by_features(decoder, request.inputs), most_bytes)]
    elif kind == "multi_inference_log":
        tasks = tasks_of(request)
        decoded = [
            decode_examples(decoder, task, request.input, verb, most_bytes)
            for task, verb in zip(tasks, verbs_of(tasks), strict=True)
        ]
    else:
        verb = "classify" if kind == "classify_log" else "regress"
        decoded = [decode_examples(decoder, request, request.input, verb, most_bytes)]
    if not all(one.count for one in decoded):
        raise InvalidInput("The request has no rows.")
    return decoded


def _by_features(decoder: Decoder, inputs: Any) -> dict[str, Any]:
    features = {feature.name for feature in decoder.export.features}
    renamed = {feature.input: feature.name for feature in decoder.export.features if feature.input not in features}
    return {renamed.get(name, name): proto for name, proto in inputs.items()}
