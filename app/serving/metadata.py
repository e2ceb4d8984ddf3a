"""Model status and metadata in TensorFlow Serving's JSON shapes, with what only this service knows beside them."""

from __future__ import annotations

from typing import Any

from app.serving.export_description import EXAMPLES_FEATURE, ExportDescription, InputFeature, Output, Signature
from app.serving.serving_version import ServingVersion, State

_DTYPES = {
    "float16": "DT_HALF",
    "bfloat16": "DT_BFLOAT16",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "int8": "DT_INT8",
    "int16": "DT_INT16",
    "int32": "DT_INT32",
    "int64": "DT_INT64",
    "uint8": "DT_UINT8",
    "bool": "DT_BOOL",
    "string": "DT_STRING",
}


def status(versions: list[ServingVersion]) -> dict[str, Any]:
    """`model_version_status`, the newest version first; `labels` is ours."""
    return {"model_version_status": [_status(version) for version in versions]}


def metadata(model: str, version: ServingVersion) -> dict[str, Any]:
    """`model_spec` and `metadata.signature_def`; `features`, `examples` and `lineage_id` are ours.

    The inputs are what a request names: a sequence feature is one input, its length is filled in by the service.
    """
    export = version.export
    assert export is not None
    signatures = {name: _signature(export, signature) for name, signature in export.signatures.items()}
    return {
        "model_spec": {"name": model, "signature_name": "", "version": str(version.wanted.number)},
        "metadata": {"signature_def": {"signature_def": signatures}},
        "lineage_id": version.wanted.lineage_id,
        "estimator": export.estimator,
        "global_step": export.global_step,
        "features": [_feature(feature) for feature in export.features],
        "label_vocabulary": export.label_vocabulary,
        "examples": export.examples,
    }


def _status(version: ServingVersion) -> dict[str, Any]:
    failed = version.error is not None and version.state is State.END
    return {
        "version": str(version.wanted.number),
        "state": str(version.state),
        "status": {
            "error_code": "FAILED_PRECONDITION" if failed else "OK",
            "error_message": version.error or "" if failed else "",
        },
        "labels": sorted(version.wanted.labels),
    }


def _signature(export: ExportDescription, signature: Signature) -> dict[str, Any]:
    features = export.features if signature.input == "features" else [EXAMPLES_FEATURE]
    return {
        "inputs": {feature.name: _input(feature) for feature in features},
        "outputs": {output.name: _output(output) for output in signature.outputs},
        "method_name": f"tensorflow/serving/{signature.method}",
    }


def _input(feature: InputFeature) -> dict[str, Any]:
    shape: tuple[int | None, ...] = (None, None) if feature.sequence else (None,)
    return _tensor(feature.name, feature.dtype, (*shape, *feature.shape))


def _output(output: Output) -> dict[str, Any]:
    return _tensor(output.name, output.dtype, output.shape)


def _tensor(name: str, dtype: str, shape: tuple[int | None, ...] | None) -> dict[str, Any]:
    sizes = [] if shape is None else [{"size": str(-1 if size is None else size), "name": ""} for size in shape]
    return {
        "dtype": _DTYPES.get(dtype, "DT_INVALID"),
        "tensor_shape": {"dim": sizes, "unknown_rank": shape is None},
        "name": name,
    }


def _feature(feature: InputFeature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "dtype": feature.dtype,
        "shape": list(feature.shape),
        "sequence": feature.sequence,
        "missing": None
        if feature.missing is None
        else {"policy": feature.missing.policy, "value": feature.missing.value},
        "vocabulary": feature.vocabulary,
        "min": feature.min,
        "max": feature.max,
    }
