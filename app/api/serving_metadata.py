"""`GET …/metadata`: an export's own description (`assets.extra/serving.json`) in TensorFlow Serving's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.api.schemas.model import Metadata
from app.errors import NotFound

_DTYPES = {
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "int32": "DT_INT32",
    "int64": "DT_INT64",
    "string": "DT_STRING",
    "bool": "DT_BOOL",
}
_METHODS = {"predict": "predict", "classify": "classify", "regress": "regress"}


def read_metadata(directory: Path, model: str, version: int) -> Metadata:
    """
    Raises:
        NotFound: the export's files are gone.
    """
    try:
        serving = json.loads((directory / "assets.extra" / "serving.json").read_text())
    except FileNotFoundError:
        raise NotFound("The version's files are not there any more.") from None
    signatures = {name: _signature(signature, serving["features"]) for name, signature in serving["signatures"].items()}
    return Metadata(
        model_spec={"name": model, "signature_name": "", "version": str(version)},
        metadata={"signature_def": {"signature_def": signatures}},
        features=serving["features"],
        label_vocabulary=serving.get("label_vocabulary"),
        examples=serving.get("examples", []),
    )


def _signature(signature: dict[str, Any], features: list[dict[str, Any]]) -> dict[str, Any]:
    if signature["input"] == "features":
        inputs = {}
        for feature in features:
            time = [None] if feature["sequence"] else []
            inputs[feature["name"]] = _tensor(feature["name"], feature["dtype"], [None, *time, *feature["shape"]])
            if feature.get("length_input"):
                inputs[feature["length_input"]] = _tensor(feature["length_input"], "int64", [None])
    else:
        inputs = {signature["input"]: _tensor(signature["input"], "string", [None])}
    outputs = {out["name"]: _tensor(out["name"], out["dtype"], out["shape"]) for out in signature["outputs"]}
    method = _METHODS.get(signature["method"], signature["method"])
    return {"inputs": inputs, "outputs": outputs, "method_name": f"tensorflow/serving/{method}"}


def _tensor(name: str, dtype: str, shape: list[int | None]) -> dict[str, Any]:
    dimensions = [{"size": str(-1 if size is None else size), "name": ""} for size in shape]
    return {
        "dtype": _DTYPES.get(dtype, "DT_INVALID"),
        "tensor_shape": {"dim": dimensions, "unknown_rank": False},
        "name": name,
    }
