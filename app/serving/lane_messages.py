"""Messages between two lanes of a host, one of which may have a version that the other answers for. Frames as in
`app.serving.protocol`; a batch and its answer are the same as between API and predictor."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from app.serving import batch_columns, packing, protocol
from app.serving.protocol import BadFrame, BatchResult, RunBatch


class LanePresent(msgspec.Struct, array_like=True, tag=21, frozen=True):
    """First word of both lanes.

    Attributes:
        language: `LANGUAGE` of the lane. Two of different code, as in a rolling restart, have nothing to do with
            each other.
        leaves: said once more when it is told to end.
    """

    index: int
    language: str
    leaves: bool = False


class HeldVersion(msgspec.Struct, array_like=True, frozen=True):
    """A version that a lane's predictor has, or that it could not load.

    Attributes:
        key: by which batches ask for it.
        onnx, why_tensorflow: as `ServingVersion` has them.
    """

    path: str
    digest: str
    key: int
    cell_bytes: int
    onnx: str
    why_tensorflow: dict[str, str]
    error: str | None = None


class LaneHolds(msgspec.Struct, array_like=True, tag=22, frozen=True):
    """All versions of models that not every lane has; after each change."""

    versions: list[HeldVersion]


class WantsVersion(msgspec.Struct, array_like=True, tag=23, frozen=True):
    """Requests wait for a version that the other lane is to have."""

    path: str
    digest: str


class NotRun(msgspec.Struct, array_like=True, tag=24, frozen=True):
    """A batch will not be answered.

    Attributes:
        began: the predictor died while it had it; else it had not begun, and the version is not there any more.
    """

    id: int
    began: bool


LaneMessage = LanePresent | LaneHolds | WantsVersion | NotRun | RunBatch | BatchResult
_decoder: msgspec.msgpack.Decoder[LaneMessage] = msgspec.msgpack.Decoder(LaneMessage)


def decode_lane_message(payload: bytes) -> LaneMessage:
    """Raises BadFrame."""
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame("The payload is no message of lanes.") from error


def _language() -> str:
    """Digest of the code that says what messages mean: a number would be forgotten."""
    files = [__file__, protocol.__file__, packing.__file__, batch_columns.__file__]
    return hashlib.blake2b(b"".join(Path(str(file)).read_bytes() for file in files), digest_size=16).hexdigest()


LANGUAGE = _language()
