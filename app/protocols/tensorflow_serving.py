"""`tensorflow.serving.PredictionService` and `tensorflow.serving.ModelService`.

Differences to TensorFlow Serving, for there are labels here: a call that names no version means the label `latest`;
`Classify` and `Regress` without a signature's name use `classification` and `regression`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf import json_format

from app.errors import InvalidInput, ServiceError, quote_name
from app.protocols.asked_messages import ExamplesAsked, PredictAsked
from app.protocols.inference import Caller, Inference, ModelChoice, Outputs
from app.protocols.rpc_methods import Answer, Method, answer_with
from app.protocols.serving_requests import signature_of, tasks_of, verbs_of
from app.protocols.tensor_proto import encode_proto
from app.protocols.tfs_schema import WIRE
from app.serving.serving_version import ServingVersion
from app.serving.tensors import Tensor

_PREFIX = "tensorflow.serving"
_SIGNATURES = "signature_def"
_message = {name: WIRE.message(f"{_PREFIX}.{name}") for name in (
    "PredictRequest", "PredictResponse", "ClassificationRequest", "ClassificationResponse", "ClassificationResult",
    "RegressionRequest", "RegressionResponse", "RegressionResult", "MultiInferenceRequest", "MultiInferenceResponse",
    "GetModelMetadataRequest", "GetModelMetadataResponse", "SignatureDefMap", "GetModelStatusRequest",
    "GetModelStatusResponse",
)}  # fmt: skip


def services(inference: Inference) -> dict[str, Method]:
    """The methods of both services by path."""
    served = TensorFlowServing(inference)

    def predicting(name: str, request: str, run: Callable[[Caller, Any], Awaitable[Answer]]) -> tuple[str, Method]:
        return f"/{_PREFIX}.PredictionService/{name}", Method(_message[request], "predict", run)

    return dict(
        [
            predicting("Predict", "PredictRequest", served.predict),
            predicting("Classify", "ClassificationRequest", served.classify),
            predicting("Regress", "RegressionRequest", served.regress),
            predicting("MultiInference", "MultiInferenceRequest", served.multi_inference),
        ]
    ) | {
        f"/{_PREFIX}.PredictionService/GetModelMetadata": Method(
            _message["GetModelMetadataRequest"], "read", served.model_metadata
        ),
        f"/{_PREFIX}.ModelService/GetModelStatus": Method(
            _message["GetModelStatusRequest"], "read", served.model_status
        ),
    }


class TensorFlowServing:
    """The methods. Each takes a request of `tfs_schema.WIRE`."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def predict(self, caller: Caller, request: Any) -> Answer:
        """Raises InvalidInput, and Conflict for a signature that the version does not have."""
        choice = _choice(request)
        asked = PredictAsked(request, self._inference.max_message_bytes)
        outputs = await self._inference.run(caller, choice, asked)
        response = _message["PredictResponse"]()
        for name in request.output_filter or outputs.tensors:
            encode_proto(response.outputs[name], outputs.tensors[name])
        _fill_spec(response.model_spec, choice, outputs, signature_of(request, "predict"))
        return answer_with(response, outputs.prediction_id)

    async def classify(self, caller: Caller, request: Any) -> Answer:
        outputs, signature = await self._examples(caller, request, request.input, "classify")
        response = _message["ClassificationResponse"]()
        _fill_classes(response.result, outputs)
        _fill_spec(response.model_spec, _choice(request), outputs, signature)
        return answer_with(response, outputs.prediction_id)

    async def regress(self, caller: Caller, request: Any) -> Answer:
        outputs, signature = await self._examples(caller, request, request.input, "regress")
        response = _message["RegressionResponse"]()
        _fill_values(response.result, outputs)
        _fill_spec(response.model_spec, _choice(request), outputs, signature)
        return answer_with(response, outputs.prediction_id)

    async def multi_inference(self, caller: Caller, request: Any) -> Answer:
        """Several signatures of one version over the same examples; an answer and a prediction a task, in their
        order."""
        tasks = tasks_of(request)
        verbs = verbs_of(tasks)
        if len({_choice(task) for task in tasks}) > 1:
            raise InvalidInput("All tasks of a MultiInferenceRequest have to name the same model and version.")
        version = await self._inference.find(caller, _choice(tasks[0]))
        # Each is charged alone; the message itself is in memory once.
        answers = await asyncio.gather(
            *(
                self._examples(caller, task, request.input, verb, version)
                for task, verb in zip(tasks, verbs, strict=True)
            )
        )
        response = _message["MultiInferenceResponse"]()
        for task, verb, (outputs, signature) in zip(tasks, verbs, answers, strict=True):
            result = response.results.add()
            if verb == "classify":
                _fill_classes(result.classification_result, outputs)
            else:
                _fill_values(result.regression_result, outputs)
            _fill_spec(result.model_spec, _choice(task), outputs, signature)
        return answer_with(response, *(outputs.prediction_id for outputs, _ in answers))

    async def model_metadata(self, caller: Caller, request: Any) -> Answer:
        fields = list(request.metadata_field)
        if not fields:
            raise InvalidInput("GetModelMetadataRequest must specify at least one metadata_field.")
        unknown = [field for field in fields if field != _SIGNATURES]
        if unknown:
            raise InvalidInput(f"Metadata field {quote_name(unknown[0])} is not supported; {_SIGNATURES} is.")
        choice = _choice(request)
        found = await self._inference.service.metadata(choice.model, choice.number, choice.label)
        signatures = _message["SignatureDefMap"]()
        json_format.ParseDict(found["metadata"][_SIGNATURES], signatures, descriptor_pool=WIRE.pool)
        response = _message["GetModelMetadataResponse"]()
        response.model_spec.name = choice.model
        response.model_spec.version.value = int(found["model_spec"]["version"])
        packed = response.metadata[_SIGNATURES]
        packed.type_url = f"type.googleapis.com/{_PREFIX}.SignatureDefMap"
        packed.value = signatures.SerializeToString()
        return answer_with(response)

    async def model_status(self, caller: Caller, request: Any) -> Answer:
        choice = _choice(request)
        found = self._inference.service.status(choice.model, choice.number, choice.label)
        response = _message["GetModelStatusResponse"]()
        json_format.ParseDict(found, response, ignore_unknown_fields=True, descriptor_pool=WIRE.pool)
        return answer_with(response)

    async def _examples(
        self, caller: Caller, asked: Any, given: Any, verb: str, version: ServingVersion | None = None
    ) -> tuple[Outputs, str]:
        """Outputs of a signature over `tf.Example`s, and its name."""
        examples = ExamplesAsked(asked, given, verb, self._inference.max_message_bytes)
        outputs = await self._inference.run(caller, _choice(asked), examples, version)
        return outputs, signature_of(asked, verb)


def _choice(asked: Any) -> ModelChoice:
    """What a message's model_spec names. Raises InvalidInput."""
    spec = asked.model_spec
    if not spec.name:
        raise InvalidInput("Missing ModelSpec: the request has to name a model.")
    kind = spec.WhichOneof("version_choice")
    if kind == "version" and spec.version.value:  # OpenVINO's client sends 0 for no version, and there is none of it
        return ModelChoice(spec.name, number=spec.version.value)
    return ModelChoice(spec.name, label=spec.version_label or None)


def _fill_spec(spec: Any, choice: ModelChoice, outputs: Outputs, signature: str) -> None:
    spec.name = choice.model
    spec.version.value = outputs.version.wanted.number
    spec.signature_name = signature


def _fill_classes(result: Any, outputs: Outputs) -> None:
    """A head without labels or without scores leaves "" or 0 there."""
    scores, labels = outputs.tensors.get("scores"), outputs.tensors.get("classes")
    shape = _matrix(scores or labels)
    values = [0.0] * (shape[0] * shape[1]) if scores is None else scores.values.ravel().tolist()
    names = _texts(labels) if labels is not None else [""] * len(values)
    if len(values) != len(names):
        raise ServiceError("The signature's scores and classes are of different sizes.")
    for start in range(0, len(values), shape[1]):
        row = result.classifications.add()
        for name, value in zip(names[start : start + shape[1]], values[start : start + shape[1]], strict=True):
            row.classes.add(label=name, score=value)


def _matrix(tensor: Tensor | None) -> tuple[int, int]:
    if tensor is None or len(tensor.shape) != 2:
        raise InvalidInput("The signature does not answer scores or classes by row.")
    return tensor.shape[0], tensor.shape[1]


def _texts(tensor: Tensor) -> list[str]:
    if tensor.dtype == "string":
        return [value.decode("utf-8", "replace") for value in tensor.values]
    return [str(value) for value in tensor.values.ravel().tolist()]


def _fill_values(result: Any, outputs: Outputs) -> None:
    tensor = outputs.tensors.get("outputs") or next(iter(outputs.tensors.values()))
    if tensor.dtype == "string" or tensor.values.size != tensor.shape[0]:
        raise InvalidInput("The signature does not answer one number a row.")
    for value in tensor.values.ravel().tolist():
        result.regressions.add(value=value)
