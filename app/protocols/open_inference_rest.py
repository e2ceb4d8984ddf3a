"""`/v2`: the Open Inference Protocol over HTTP, with its extension for binary tensors. Plain ASGI, behind admission.

A body is JSON, or JSON of `Inference-Header-Content-Length` bytes and then the raw values of the inputs that have
`binary_data_size`, one after another. An answer is made likewise where a request asks for binary outputs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np

from app.errors import InvalidInput, NotFound, ServiceError, TooLarge, Unavailable, quote_name
from app.http.body import ClientGone
from app.http.problems import problem
from app.protocols.inference import Caller, Inference, ModelChoice, Outputs
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
from app.serving.large_body import INLINE_BYTES, INLINE_UNTYPED_BYTES
from app.serving.tensors import Tensor
from app.strict_json import read_json
from app.version import __version__

MOST_JSON_BYTES = 2**20
"""Of the JSON in a request. Larger tensors come as binary ones."""
LENGTH_HEADER = b"inference-header-content-length"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
_MODEL = re.compile(rf"/v2/models/(?P<model>{_NAME})(?:/versions/(?P<version>{_NAME}))?(?P<what>/ready|/infer)?")
_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")
_NUMBERS = frozenset({bool, int, float})

Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, Headers, bytes]


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class _WantedOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[_WantedOutput] = []


class OpenInferenceApp:
    """ASGI application of the paths below `/v2`.

    Args:
        app: answers everything else.
        ready: whether predictions are answered now.
    """

    def __init__(self, app: Callable[[Any, Any, Any], Any], inference: Inference, ready: Callable[[], bool]) -> None:
        self._app = app
        self._inference = inference
        self._ready = ready

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not (scope["path"] == "/v2" or scope["path"].startswith("/v2/")):
            await self._app(scope, receive, send)
            return
        try:
            status, headers, body = await self._answer(scope, receive)
        except ServiceError as error:
            status, headers, _ = problem(error, scope["path"])
            headers = [header for header in headers if header[0] != b"content-type"] + [_JSON]
            body = msgspec.json.encode({"error": error.detail})
        except ClientGone:
            return
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Any, receive: Any) -> Answer:
        """Raises ServiceError."""
        method, path = scope["method"], scope["path"]
        found = _MODEL.fullmatch(path)
        what = path if found is None else found["what"] or "/metadata"
        if method != ("POST" if what == "/infer" else "GET") and not (method == "HEAD" and what != "/infer"):
            return 405, [_JSON], b'{"error":"Method not allowed."}'
        if found is not None:
            choice = choice_of(found["model"], found["version"])
            if what == "/infer":
                return await self._infer(scope, choice, await _whole(receive))
            if what == "/ready":
                return self._model_ready(choice)
            return _json(await model_metadata(self._inference.service, choice))
        if path == "/v2":
            return _json({"name": NAME, "version": __version__, "extensions": EXTENSIONS})
        if path == "/v2/health/live":
            return _json({"live": True})
        if path == "/v2/health/ready":
            if not self._ready():
                return 503, [_JSON], b'{"ready":false}'
            return _json({"ready": True})
        raise NotFound("There is no such path of the Open Inference Protocol.")

    def _model_ready(self, choice: ModelChoice) -> Answer:
        if not is_ready(self._inference.service, choice):
            raise Unavailable("The model is not in memory.")
        return _json({"name": choice.model, "ready": True})

    async def _infer(self, scope: Any, choice: ModelChoice, body: bytes) -> Answer:
        headers = dict(reversed(scope["headers"]))
        token, parse = scope["state"]["token"], partial(_parsed, headers, body)
        dear = len(body) > INLINE_UNTYPED_BYTES and _json_size(headers, body) > INLINE_UNTYPED_BYTES
        request, binary = await self._inference.large.read(token, 0, parse) if dear else parse()
        dear = dear or (len(binary) > INLINE_BYTES and any(given.datatype == "BYTES" for given in request.inputs))
        signature = request.parameters.get(SIGNATURE_PARAMETER)
        if signature is not None and not isinstance(signature, str):
            raise InvalidInput(f"The parameter {SIGNATURE_PARAMETER} has to be a string.")
        caller = Caller(token, len(body), 0, math.inf, headers, dear)
        if request.parameters:
            caller = with_parameters(caller, request.parameters)
        outputs, found = await infer(
            self._inference, caller, choice, signature, lambda: self._tensors(request, binary),
            [output.name for output in request.outputs],
        )  # fmt: skip
        return _response(request, choice, outputs, found)

    def _tensors(self, request: _Request, binary: memoryview) -> dict[str, Tensor]:
        """Raises InvalidInput."""
        found: dict[str, Tensor] = {}
        at = 0
        for given in request.inputs:
            if given.name in found:
                raise InvalidInput(f"Input {quote_name(given.name)} is there twice.")
            most_bytes = self._inference.max_message_bytes
            dtype, shape = checked_shape(given.name, given.datatype, given.shape, most_bytes)
            size = given.parameters.get("binary_data_size")
            if size is None:
                found[given.name] = _from_json(given, dtype, shape)
                continue
            if not isinstance(size, int) or not 0 <= size <= len(binary) - at or given.data is not None:
                raise InvalidInput(
                    f"Input {quote_name(given.name)}: `binary_data_size` does not fit the body, or `data` is there too."
                )
            found[given.name] = decode_raw(given.name, dtype, shape, binary[at : at + size])
            at += size
        if at != len(binary):
            raise InvalidInput(f"{len(binary) - at} bytes after the JSON belong to no input's binary_data_size.")
        return found


async def _whole(receive: Any) -> bytes:
    """The body, which admission has in one piece."""
    message = await receive()
    if message["type"] != "http.request":
        raise ClientGone
    return bytes(message.get("body", b""))


def _parsed(headers: Any, body: bytes) -> tuple[_Request, memoryview]:
    """The JSON of a request, and the bytes after it. Raises InvalidInput and TooLarge."""
    size = _json_size(headers, body)
    if size > MOST_JSON_BYTES:
        raise TooLarge(
            f"The request's JSON has {size} bytes; the most is {MOST_JSON_BYTES}. Send its tensors as binary data."
        )
    parsed = read_json(body[:size])
    try:
        return msgspec.convert(parsed, _Request), memoryview(body)[size:]
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The request is none of the Open Inference Protocol: {error}.") from None


def _json_size(headers: Any, body: bytes) -> int:
    """Bytes of the JSON that a body begins with. Raises InvalidInput."""
    length = headers.get(LENGTH_HEADER)
    if length is None:
        return len(body)
    size = int(length) if length.isdigit() and len(length) <= 15 else -1
    if not 0 <= size <= len(body):
        raise InvalidInput("Inference-Header-Content-Length has to be the length of the JSON before the tensors.")
    return size


def _from_json(given: _Input, dtype: str, shape: tuple[int, ...]) -> Tensor:
    """An input's values from lists, nested or flat."""
    where = f"Input {quote_name(given.name)}"
    if given.data is None:
        raise InvalidInput(f"{where} has neither data nor binary_data_size.")
    count = math.prod(shape)
    if dtype == "string":
        strings = _flat(given.data)
        if len(strings) != count or not all(isinstance(value, str) for value in strings):
            raise InvalidInput(f"{where} of the shape {list(shape)} needs {count} strings.")
        return Tensor(dtype, shape, [value.encode() for value in strings])
    # Numpy would make strings of all of them, each as wide as the longest.
    if not _NUMBERS.issuperset(map(type, _flat(given.data))):
        raise InvalidInput(f"{where} of {given.datatype} has data that are no numbers.")
    try:
        array = np.array(given.data) if given.data else np.zeros(0, np.int64)
    except ValueError:  # lists of different lengths, or nested too deep
        raise InvalidInput(f"{where} has data of no shape.") from None
    kinds = "b" if dtype == "bool" else "iu" if dtype.startswith(("int", "uint")) else "fiu"
    if array.dtype.kind not in kinds or array.size != count:
        raise InvalidInput(f"{where} of the shape {list(shape)} needs {count} values of {given.datatype}.")
    if kinds == "iu" and count:
        limits = np.iinfo(dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise InvalidInput(f"{where} has a value outside {given.datatype}.")
    return Tensor(array.dtype.name, shape, array.reshape(shape))


def _flat(values: list[Any]) -> list[Any]:
    while values and isinstance(values[0], list):
        if not all(isinstance(value, list) for value in values):
            return [None]
        values = [item for value in values for item in value]
    return values


def _response(request: _Request, choice: ModelChoice, outputs: Outputs, found: list[tuple[str, Tensor]]) -> Answer:
    """Outputs as JSON, or raw behind it where the request asks for that."""
    everything = request.parameters.get("binary_data_output", False) is True
    asked = {output.name: output.parameters.get("binary_data", everything) is True for output in request.outputs}
    described: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, tensor in found:
        output: dict[str, Any] = {
            "name": name, "datatype": datatype_of(name, tensor), "shape": list(tensor.shape)
        }  # fmt: skip
        if asked.get(name, everything):
            raw.append(encode_raw(tensor))
            output["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            output["data"] = _plain(name, tensor)
        described.append(output)
    content: dict[str, Any] = {
        "model_name": choice.model,
        "model_version": str(outputs.version.wanted.number),
        "outputs": described,
    }
    if request.id:
        content["id"] = request.id
    if request.parameters.get(IDS_PARAMETER) is True:
        content["parameters"] = {PREDICTION_PARAMETER: outputs.prediction_id.decode()}
    head = msgspec.json.encode(content)
    headers = [header for header in outputs.headers if header[0] != b"content-type"]
    if not raw:
        return 200, [_JSON, *headers], head
    return 200, [_BINARY, (LENGTH_HEADER, b"%d" % len(head)), *headers], b"".join([head, *raw])


def _plain(name: str, tensor: Tensor) -> list[Any]:
    """Values for JSON. Raises InvalidInput where they have no form there."""
    if tensor.dtype == "bfloat16":
        raise InvalidInput(f"The output {quote_name(name)} is of BF16: ask for it as binary data.")
    if tensor.dtype != "string":
        return tensor.values.ravel().tolist()  # type: ignore[no-any-return]
    try:
        return [value.decode() for value in tensor.values]
    except UnicodeDecodeError:
        raise InvalidInput(f"The output {quote_name(name)} is no text: ask for it as binary data.") from None


def _json(content: dict[str, Any]) -> Answer:
    return 200, [_JSON], msgspec.json.encode(content)
