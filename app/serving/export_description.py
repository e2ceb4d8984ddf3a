"""`assets.extra/serving.json`: what serving needs to know of an export. The engine writes it; this only reads.

Format 1: features (name, dtype, shape of one row, missing-value policy), signatures (method, which inputs they take,
outputs), and example rows in the form of a predict request.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

SERVING_JSON = Path("assets.extra") / "serving.json"
_MAX_BYTES = 64 * 2**20


class BadExport(Exception):
    """A directory that is no export of this service; says why, for a person."""


class MissingValue(msgspec.Struct, frozen=True):
    """What stands in for a null or absent value: recorded at training, applied again at predict."""

    policy: str
    value: Any = None


class InputFeature(msgspec.Struct, frozen=True):
    """One input feature.

    Attributes:
        shape: of one row; `()` is a scalar.
        sequence: a list of any length per row. The graph takes it padded, `[batch, time]`, with its lengths
            `length_input` `[batch]`.
        input: the signature's input, where it is not called as the feature is: TensorFlow couldn't load one called
            `class`.
        missing: None when a value is required.
        vocabulary: the values seen in training, for messages and metadata; others are not refused.
    """

    name: str
    dtype: Literal["float32", "int64", "string"]
    shape: tuple[int, ...] = ()
    sequence: bool = False
    length_input: str | None = None
    input: str | None = None
    missing: MissingValue | None = None
    vocabulary: list[Any] | None = None
    min: float | None = None
    max: float | None = None


class Output(msgspec.Struct, frozen=True):
    """One output of a signature; `shape` has the batch first."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None = None


class Signature(msgspec.Struct, frozen=True):
    """A signature of an export: which verb it answers, and from which kind of input.

    Attributes:
        method: which verb answers with it; `predict` may run any.
        input: `features` (raw named features) or `examples` (serialized `tf.Example`s, one string each).
    """

    method: Literal["predict", "classify", "regress"]
    outputs: list[Output]
    input: Literal["features", "examples"] = "features"


class ExportDescription(msgspec.Struct, frozen=True):
    format: Literal[1]
    features: list[InputFeature]
    signatures: dict[str, Signature]
    estimator: str = ""
    engine: str = ""
    tensorflow: str = ""
    global_step: int | None = None
    label_vocabulary: list[Any] | None = None
    packed: dict[str, Any] | None = None
    examples: list[dict[str, Any]] = []


EXAMPLES_FEATURE = InputFeature(name="examples", dtype="string")
"""The one input of a signature whose input is `examples`."""


def inputs_of(export: ExportDescription, signature: Signature) -> Sequence[InputFeature]:
    """The features that a caller gives for that signature."""
    return export.features if signature.input == "features" else (EXAMPLES_FEATURE,)


def aliases_of(export: ExportDescription) -> dict[str, str]:
    """Signatures that are another one: `serving_default` and `predict` usually are, and are traced once then."""
    default, predict = export.signatures.get("serving_default"), export.signatures.get("predict")
    return {"predict": "serving_default"} if default is not None and default == predict else {}


def read_export(directory: str | Path) -> ExportDescription:
    """Reads and checks the description. Raises BadExport."""
    path = Path(directory) / SERVING_JSON
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadExport("The export's description is too large.")
        export = msgspec.json.decode(path.read_bytes(), type=ExportDescription)
    except OSError:
        raise BadExport("The export has no readable description (assets.extra/serving.json).") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadExport(f"The export's description is not of format 1: {error}") from None
    names = [feature.name for feature in export.features]
    if len(set(names)) != len(names):
        raise BadExport("The export's description names a feature twice.")
    if not export.signatures:
        raise BadExport("The export's description has no signature.")
    return export
