"""The Open Inference Protocol (V2), REST and gRPC alike: datatypes, raw tensors, metadata, the choice of a
version, and the call of a model.

A version is a number or the name of a label; none means the label `latest`. The signature is the request's parameter
`signature_name`, `serving_default` without one.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from app.errors import InvalidInput, NotFound, ServiceError, TooLarge, quote_name
from app.protocols.inference import Caller, Inference, ModelChoice, Outputs
from app.serving.asked import AskedHere
from app.serving.decode import Decoded, Decoder
from app.serving.export_description import inputs_of
from app.serving.large_body import INLINE_BYTES
from app.serving.service import ServingService
from app.serving.tensor_rows import rows_of_tensors
from app.serving.tensors import Tensor, decode_tensors
from app.serving.verbs import VERBS

NAME = "estimator-service"
EXTENSIONS = ["binary_tensor_data"]
PLATFORM = "tensorflow_savedmodel"
SIGNATURE_PARAMETER = "signature_name"
IDS_PARAMETER = "ids"
"""Of a request: whether its answer is to have the parameter `PREDICTION_PARAMETER`."""
PREDICTION_PARAMETER = "prediction_id"
_MOST_DIMENSIONS = 32
_MOST_STRINGS = 2**21
_LENGTH = struct.Struct("<I")

DTYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "BF16": "bfloat16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "string",
}
DATATYPES = {dtype: datatype for datatype, dtype in DTYPES.items()}


def choice_of(model: str, version: str | None) -> ModelChoice:
    """The model and version that a request names."""
    if not version:
        return ModelChoice(model)
    if version.isascii() and version.isdigit() and len(version) <= 15:
        return ModelChoice(model, number=int(version))
    return ModelChoice(model, label=version)


def checked_shape(name: str, datatype: str, shape: Any, most_bytes: int) -> tuple[str, tuple[int, ...]]:
    """The dtype and the shape of an input. Raises InvalidInput, and TooLarge over `most_bytes`."""
    where = f"Input {quote_name(name)}"
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise InvalidInput(f"{where} has the datatype {quote_name(datatype)}; known are {', '.join(DTYPES)}.")
    sizes = tuple(shape[: _MOST_DIMENSIONS + 1])
    if len(sizes) > _MOST_DIMENSIONS or any(not 0 <= size <= most_bytes for size in sizes):
        raise InvalidInput(f"{where} needs a shape of at most {_MOST_DIMENSIONS} dimensions, none of them negative.")
    if math.prod(sizes) * _item_bytes(dtype) > most_bytes:
        raise TooLarge(f"{where} of the shape {list(sizes)} takes more than {most_bytes} bytes.")
    return dtype, sizes


def _item_bytes(dtype: str) -> int:
    return 4 if dtype == "string" else 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def decode_raw(name: str, dtype: str, shape: tuple[int, ...], data: bytes | memoryview) -> Tensor:
    """An input's raw little-endian values; strings have their length, 4 bytes, before them.

    Raises InvalidInput when they are not as many as the shape says.
    """
    count = math.prod(shape)
    if dtype == "string":
        if count > _MOST_STRINGS:
            raise TooLarge(f"Input {quote_name(name)} has more than {_MOST_STRINGS} strings. Send it in parts.")
        return Tensor(dtype, shape, _strings(name, bytes(data), count))
    needed = count * _item_bytes(dtype)
    if len(data) != needed:
        raise InvalidInput(
            f"Input {quote_name(name)} of the shape {list(shape)} needs {needed} bytes; {len(data)} came."
        )
    if dtype == "bfloat16":  # the upper half of a float32, which numpy knows
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)
        return Tensor("float32", shape, bits.view(np.float32).reshape(shape))
    return Tensor(dtype, shape, np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape))


def _strings(name: str, data: bytes, count: int) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + _LENGTH.size
        at = start + (_LENGTH.unpack_from(data, at)[0] if start <= len(data) else 0)
        if at > len(data) or start > len(data) or len(found) == count:
            break
        found.append(data[start:at])
    if at != len(data) or len(found) != count:
        raise InvalidInput(f"Input {quote_name(name)} needs {count} strings, each after its length of 4 bytes.")
    return found


def encode_raw(tensor: Tensor) -> bytes:
    """An output's raw values."""
    if tensor.dtype == "string":
        return b"".join([_LENGTH.pack(len(value)) + value for value in tensor.values])
    return bytes(tensor.values.tobytes())


def datatype_of(name: str, tensor: Tensor) -> str:
    """Raises InvalidInput for an output whose dtype the protocol does not know."""
    datatype = DATATYPES.get(tensor.dtype)
    if datatype is None:
        raise InvalidInput(f"The output {quote_name(name)} is of {tensor.dtype}, for which there is no datatype.")
    return datatype


async def infer(
    inference: Inference,
    caller: Caller,
    choice: ModelChoice,
    signature: str | None,
    tensors: Callable[[], Mapping[str, Tensor]],
    wanted: list[str],
) -> tuple[Outputs, list[tuple[str, Tensor]]]:
    """Runs a request.

    Args:
        tensors: reads them, once it is known that there is a model for them.
        wanted: names of outputs; none: all.

    Raises:
        InvalidInput: the tensors do not fit; or there is no such output.
        NotFound: no such model, version, label or signature.
    """
    asked = InferAsked(signature or VERBS["predict"].signature, tensors, wanted)
    outputs = await inference.run(caller, choice, asked)
    return outputs, [(output, outputs.tensors[output]) for output in wanted or outputs.tensors]


class InferAsked(AskedHere):
    """A request of the protocol, as it came.

    Args:
        tensors: reads them.
        wanted: names of outputs; none: all.
    """

    most_copied = INLINE_BYTES

    def __init__(self, signature: str, tensors: Callable[[], Mapping[str, Tensor]], wanted: list[str]) -> None:
        self._signature, self._tensors, self._wanted = signature, tensors, wanted

    def decode(self, decoder: Decoder) -> Decoded:
        name = self._signature
        found = decoder.export.signatures.get(name)
        if found is None:
            known = ", ".join(sorted(decoder.export.signatures))
            raise NotFound(f"The model has no signature {quote_name(name)}; it has {known}.")
        unknown = set(self._wanted) - {output.name for output in found.outputs}
        if unknown:
            raise InvalidInput(f"The signature has no output {quote_name(min(unknown))}.")
        if len(set(self._wanted)) < len(self._wanted):  # each is sent once for each time
            raise InvalidInput("The request asks for an output twice.")
        return decode_tensors(decoder, name, self._tensors())

    def instances(self, decoder: Decoder) -> list[Any]:
        return rows_of_tensors(decoder, self._signature, self._tensors())


def with_parameters(caller: Caller, parameters: Mapping[str, Any]) -> Caller:
    """The caller of a request with these parameters.

    One that is called as a header, `x-…`, stands for it where there is none: not all clients of the protocol can send
    headers.
    """
    given = {
        name.encode(): value.encode()
        for name, value in parameters.items()
        if name.startswith("x-") and isinstance(value, str)
    }
    return caller._replace(headers={**given, **caller.headers}) if given else caller


def is_ready(service: ServingService, choice: ModelChoice) -> bool:
    """Whether the version is in memory. Raises NotFound."""
    version = service.models.look_up(choice.model, choice.number, choice.label)
    return version.loaded


async def model_metadata(service: ServingService, choice: ModelChoice) -> dict[str, Any]:
    """Raises NotFound, and Conflict where a version's description cannot be read."""
    await service.metadata(choice.model, choice.number, choice.label)  # reads what was not read yet
    version = service.models.look_up(choice.model, choice.number, choice.label)
    if version.export is None:
        raise ServiceError("The version's description is gone.")
    name = VERBS["predict"].signature
    signature = version.export.signatures.get(name) or next(iter(version.export.signatures.values()))
    inputs = [
        {
            "name": feature.name,
            "datatype": DATATYPES[feature.dtype],
            "shape": [-1, *([-1] if feature.sequence else []), *feature.shape],
        }
        for feature in inputs_of(version.export, signature)
    ]
    outputs = [
        {
            "name": output.name,
            "datatype": DATATYPES.get(output.dtype, output.dtype.upper()),
            "shape": [-1 if size is None else size for size in output.shape or (None,)],
        }
        for output in signature.outputs
    ]
    versions = [str(one.wanted.number) for one in reversed(service.models.versions_of(choice.model))]
    if choice.number is not None or choice.label is not None:
        versions = [str(version.wanted.number)]
    return {"name": choice.model, "versions": versions, "platform": PLATFORM, "inputs": inputs, "outputs": outputs}
