"""Requests as they came, in whatever protocol: to be put to another version (`app.serving.mirror`), and to be kept
(`app.kept_requests`)."""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

from app.releases.compare import compare
from app.serving.decode import Decoded, Decoder
from app.serving.export_description import inputs_of
from app.serving.large_body import INLINE_UNTYPED_BYTES
from app.serving.protocol import Form
from app.serving.tensor_rows import compare_outputs, json_answer, rows_of_columns
from app.serving.verbs import VERBS
from app.serving.version_queue import VersionQueue

if TYPE_CHECKING:
    from app.serving.wanted_version import WantedVersion

_ANSWERS = ("predictions", "results", "outputs", "result")


class AskedVersion(Protocol):
    """What a request needs of a version, to be put to it."""

    wanted: WantedVersion
    queue: VersionQueue | None

    @property
    def loaded(self) -> bool: ...


class Asked(ABC):
    """A request as it came.

    Attributes:
        verb: predict, classify or regress.
        most_copied: bytes; a larger one is not copied for a shadow, because reading it again holds the event loop.
    """

    verb = "predict"
    most_copied: ClassVar[int] = INLINE_UNTYPED_BYTES

    @abstractmethod
    async def decode_for(self, version: AskedVersion) -> Decoded:
        """Its rows for a version whose description was read. Raises ServiceError."""

    @abstractmethod
    def instances(self, decoder: Decoder) -> list[Any]:
        """What was asked about, for the record: values by feature, as JSON has them; or serialized `tf.Example`s, as
        bytes.

        Args:
            decoder: of the version that answered.
        """


class AskedHere(Asked):
    """One that is read on the event loop."""

    @abstractmethod
    def decode(self, decoder: Decoder) -> Decoded:
        """Raises ServiceError."""

    async def decode_for(self, version: AskedVersion) -> Decoded:
        assert version.queue is not None
        return self.decode(version.queue.decoder)


class JsonAsked(AskedHere):
    """A body of TensorFlow Serving's REST API."""

    def __init__(self, verb: str, body: bytes) -> None:
        self.verb, self.body = verb, body

    def decode(self, decoder: Decoder) -> Decoded:
        return decoder.decode(self.verb, self.body)

    def instances(self, decoder: Decoder) -> list[Any]:
        asked = json.loads(self.body)
        signature = decoder.export.signatures[asked.get("signature_name") or VERBS[self.verb].signature]
        name = inputs_of(decoder.export, signature)[0].name
        if "inputs" in asked:
            found = _by_row(asked["inputs"], name)
        elif "instances" in asked:
            found = [_named(instance, name) for instance in asked["instances"]]
        else:
            found = [{**asked.get("context", {}), **example} for example in asked["examples"]]
        return [_serialized(instance[name]) for instance in found] if signature.input == "examples" else found


def _named(instance: Any, name: str) -> dict[str, Any]:
    """An instance by features; a bare value is that of the only one."""
    return instance if isinstance(instance, dict) and instance.keys() != {"b64"} else {name: instance}


def _by_row(columns: Any, name: str) -> list[dict[str, Any]]:
    return rows_of_columns(_named(columns, name))


def _serialized(value: Any) -> bytes:
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else str(value).encode()


@dataclass(frozen=True)
class Answered:
    """A request that was answered well.

    Attributes:
        decoder: of the version that answered.
        as_tensors: the answer is outputs as the predictor sends them (`Form.TENSORS`), else JSON.
        rows: of the request.
        size: bytes that it takes.
    """

    asked: Asked
    decoder: Decoder
    answer: bytes
    as_tensors: bool
    rows: int
    size: int

    async def decode_for(self, version: AskedVersion) -> Decoded:
        """Its rows for a version, to be answered in the same form. Raises ServiceError."""
        request = await self.asked.decode_for(version)
        if self.as_tensors == (request.form == Form.TENSORS):
            return request
        return msgspec.structs.replace(request, form=Form.TENSORS if self.as_tensors else Form.ROW)

    def compare(self, other: bytes) -> tuple[bool, float]:
        """Whether another version's answer agrees, and the largest difference between two numbers."""
        return compare_outputs(self.answer, other) if self.as_tensors else compare(self.answer, other)

    def instances(self) -> list[Any]:
        """As `Asked.instances` says."""
        return self.asked.instances(self.decoder)

    def predictions(self) -> list[Any]:
        """A value a row, as JSON has it."""
        body = json_answer(self.asked.verb, self.answer) if self.as_tensors else self.answer
        answered: Mapping[str, Any] = msgspec.json.decode(body)
        found: Any = next((answered[name] for name in _ANSWERS if name in answered), [])
        if "outputs" not in answered or not isinstance(found, dict):
            return list(found)
        return rows_of_columns(found)


def size_of(request: Decoded, size: int) -> int:
    """Bytes that a request of `size` bytes takes once it is unfolded."""
    if request.packed is not None:
        return max(size, memoryview(request.packed).nbytes)
    if request.columns is None:
        return size
    return max(size, sum(_bytes(column) for column in request.columns))


def _bytes(column: bytes | list[Any]) -> int:
    return len(column) if isinstance(column, bytes) else sum(map(len, column)) + 8 * len(column)
