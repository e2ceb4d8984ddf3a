"""`inference.GRPCInferenceService`: the Open Inference Protocol in gRPC."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from google.protobuf import json_format

from app.errors import InvalidInput, NotFound, TooLarge, quote_name
from app.protocols.inference import Caller, Inference
from app.protocols.oip_schema import PUBLIC, SERVICE
from app.protocols.open_inference import (
    EXTENSIONS,
    IDS_PARAMETER,
    NAME,
    PREDICTION_PARAMETER,
    SIGNATURE_PARAMETER,
    checked_shape,
    choice_of,
    datatype_of,
    decode_raw,
    encode_raw,
    infer,
    is_ready,
    model_metadata,
    with_parameters,
)
from app.protocols.rpc_methods import Answer, Method, answer_with
from app.serving.large_body import INLINE_BYTES
from app.serving.tensors import Tensor
from app.version import __version__

_MOST_NAMED = 1000
_CONTENTS = {
    "bool": "bool_contents",
    "int8": "int_contents",
    "int16": "int_contents",
    "int32": "int_contents",
    "int64": "int64_contents",
    "uint8": "uint_contents",
    "uint16": "uint_contents",
    "uint32": "uint_contents",
    "uint64": "uint64_contents",
    "float32": "fp32_contents",
    "float64": "fp64_contents",
    "string": "bytes_contents",
}


def methods(inference: Inference, ready: Callable[[], bool]) -> dict[str, Method]:
    """The service's methods by path.

    Args:
        ready: whether predictions are answered now.
    """
    served = OpenInference(inference, ready)

    def method(name: str, scope: str | None, run: Callable[[Caller, Any], Awaitable[Answer]]) -> tuple[str, Method]:
        return f"/{SERVICE}/{name}", Method(PUBLIC.message(f"inference.{name}Request"), scope, run)

    return dict(
        [
            method("ServerLive", None, served.live),
            method("ServerReady", None, served.ready),
            method("ModelReady", "read", served.model_ready),
            method("ServerMetadata", "read", served.metadata),
            method("ModelMetadata", "read", served.model_metadata),
            method("ModelInfer", "predict", served.infer),
        ]
    )


class OpenInference:
    """The methods. Each takes a request of `oip_schema.PUBLIC`."""

    def __init__(self, inference: Inference, ready: Callable[[], bool]) -> None:
        self._inference = inference
        self._ready = ready

    async def live(self, caller: Caller, request: Any) -> Answer:
        return _answer("ServerLiveResponse", live=True)

    async def ready(self, caller: Caller, request: Any) -> Answer:
        return _answer("ServerReadyResponse", ready=self._ready())

    async def metadata(self, caller: Caller, request: Any) -> Answer:
        return _answer("ServerMetadataResponse", name=NAME, version=__version__, extensions=EXTENSIONS)

    async def model_ready(self, caller: Caller, request: Any) -> Answer:
        """A model that is not there is not ready, which is no error."""
        try:
            ready = is_ready(self._inference.service, choice_of(request.name, request.version))
        except NotFound:
            ready = False
        return _answer("ModelReadyResponse", ready=ready)

    async def model_metadata(self, caller: Caller, request: Any) -> Answer:
        found = await model_metadata(self._inference.service, choice_of(request.name, request.version))
        response = json_format.ParseDict(found, _new("ModelMetadataResponse"), descriptor_pool=PUBLIC.pool)
        return answer_with(response)

    async def infer(self, caller: Caller, request: Any) -> Answer:
        """Outputs are raw where the inputs were, or where their datatype has no other form; else in `contents`."""
        choice = choice_of(request.model_name, request.model_version)
        if len(request.parameters) > _MOST_NAMED or len(request.outputs) > _MOST_NAMED:
            raise TooLarge(f"The request has more than {_MOST_NAMED} parameters or outputs.")
        if caller.size > INLINE_BYTES and request.raw_input_contents:
            # strings in one field, which the parser does not see
            texts_in_raw = any(given.datatype == "BYTES" for given in request.inputs[:_MOST_NAMED])
            caller = caller._replace(dear=caller.dear or texts_in_raw)
        signature, ids = None, False
        if request.parameters:
            texts = {name: value.string_param for name, value in request.parameters.items()}
            signature = texts.get(SIGNATURE_PARAMETER)
            ids = IDS_PARAMETER in texts and request.parameters[IDS_PARAMETER].bool_param
            caller = with_parameters(caller, texts)
        outputs, found = await infer(
            self._inference,
            caller,
            choice,
            signature,
            lambda: self._tensors(request),
            [o.name for o in request.outputs],
        )
        response = _new("ModelInferResponse")
        response.model_name, response.id = choice.model, request.id
        response.model_version = str(outputs.version.wanted.number)
        if ids:
            response.parameters[PREDICTION_PARAMETER].string_param = outputs.prediction_id.decode()
        raw = bool(request.raw_input_contents) or any(tensor.dtype not in _CONTENTS for _, tensor in found)
        for name, tensor in found:
            output = response.outputs.add(name=name, datatype=datatype_of(name, tensor), shape=tensor.shape)
            if raw:
                response.raw_output_contents.append(encode_raw(tensor))
            else:
                values = tensor.values if tensor.dtype == "string" else tensor.values.ravel().tolist()
                getattr(output.contents, _CONTENTS[tensor.dtype]).extend(values)
        return answer_with(response, outputs.prediction_id)

    def _tensors(self, request: Any) -> dict[str, Tensor]:
        """Raises InvalidInput."""
        raw = list(request.raw_input_contents)
        if raw and len(raw) != len(request.inputs):
            raise InvalidInput(f"There are {len(request.inputs)} inputs and {len(raw)} raw_input_contents.")
        found: dict[str, Tensor] = {}
        for i, given in enumerate(request.inputs):
            if given.name in found:
                raise InvalidInput(f"Input {quote_name(given.name)} is there twice.")
            most_bytes = self._inference.max_message_bytes
            dtype, shape = checked_shape(given.name, given.datatype, given.shape, most_bytes)
            if raw:
                found[given.name] = decode_raw(given.name, dtype, shape, raw[i])
            else:
                found[given.name] = _from_contents(given, dtype, shape)
        return found


def _from_contents(given: Any, dtype: str, shape: tuple[int, ...]) -> Tensor:
    field = _CONTENTS.get(dtype)
    where = f"Input {quote_name(given.name)}"
    if field is None:
        raise InvalidInput(f"{where} of {given.datatype} has to stand in raw_input_contents.")
    values = getattr(given.contents, field)
    if len(values) != math.prod(shape):
        raise InvalidInput(f"{where} of the shape {list(shape)} has {len(values)} values in {field}.")
    if dtype == "string":
        return Tensor(dtype, shape, list(values))
    array = np.array(
        values, np.uint64 if dtype == "uint64" else np.int64 if field.startswith(("int", "uint")) else None
    )
    narrow = np.dtype(dtype)
    if narrow.kind in "iu" and array.size:
        limits = np.iinfo(narrow)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise InvalidInput(f"{where} has a value outside {given.datatype}.")
    return Tensor(dtype, shape, array.astype(narrow).reshape(shape))


def _new(name: str) -> Any:
    return PUBLIC.message(f"inference.{name}")()


def _answer(message_name: str, **fields: Any) -> Answer:
    return answer_with(PUBLIC.message(f"inference.{message_name}")(**fields))
