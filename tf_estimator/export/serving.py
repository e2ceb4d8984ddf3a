"""Export for the service: raw named features and `tf.Example`s, described beside the model in serving.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from ..export_output import ClassificationOutput, PredictOutput, RegressionOutput
from ..keys import ModeKeys
from ..version import __version__
from . import feature, rows, serving_graph
from .directory import ASSETS_EXTRA, whole
from .feature import FeatureInfo
from .receiver_fn import EXAMPLES
from .saved_model import checkpoint, write
from .signature import DEFAULT, export_outputs
from .warm_up_requests import WARM_UP_REQUESTS, write_warm_up_requests

FORMAT = 1
SERVING_JSON = "serving.json"
PREDICT = "predict"
_MADE_BY = {
    "format": FORMAT,
    "engine": __version__,
    "tensorflow": tf.__version__,
    # By the raw op, a signature of 20 arguments is called as fast as a packed one would be.
    "packed": None,
}


def export_for_serving(
    estimator: Any,
    directory: str,
    *,
    features: Sequence[FeatureInfo] | None = None,
    examples: Sequence[Mapping[str, Any]] = (),
    checkpoint_path: str | None = None,
    label_vocabulary: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Writes a SavedModel that needs no receiver function into `directory`.

    Signatures: `serving_default` and `predict` take the raw named features (see `FeatureInfo`) and answer the
    predictions; `classification` and `regression`, where the head has them, take the same inputs; `examples` takes a
    string tensor of serialized `tf.Example`s and answers the predictions. A feature whose name TensorFlow can't load a
    signature with, such as `class`, has an input of another name, which serving.json says (`"input"`).

    Args:
        estimator: an `Estimator`.
        directory: made; it must not hold anything yet.
        features: what a client sends; None derives it from the estimator's feature columns.
        examples: rows for warming up and for documentation, `{feature: value}`. TensorFlow Serving finds them as its
            own warm-up requests (`assets.extra/tf_serving_warmup_requests`), for each signature that takes features.
        checkpoint_path: the checkpoint to export, None for the newest.
        label_vocabulary: names of the classes, for serving.json; the head's by default.

    Returns:
        the content of `assets.extra/serving.json`.

    Raises:
        ValueError: no checkpoint, no features, or no predictions; or an example does not fit the features.
        FileExistsError: `directory` is not empty.
    """
    infos = feature.infos(estimator, features)
    inputs = feature.inputs(infos)
    path = checkpoint(estimator, checkpoint_path)
    with whole(Path(directory)) as temporary:
        described = _write_graph(estimator, temporary, infos, path)
        content = {
            "estimator": type(estimator).__name__,
            "global_step": 0 if path is None else _global_step(path),
            "features": [info.as_json(inputs[info.name]) for info in infos],
            "signatures": described,
            "label_vocabulary": _label_vocabulary(estimator, label_vocabulary),
            "examples": [dict(row) for row in examples],
            **_MADE_BY,
        }
        _write_assets(temporary / ASSETS_EXTRA, content, examples, infos)
    return content


def _write_graph(estimator: Any, directory: Path, infos: Sequence[FeatureInfo], path: str | None) -> Mapping[str, Any]:
    """Writes graph and variables into the empty `directory`; the signatures as serving.json has them."""
    kept = serving_graph.kept(estimator, infos, path)
    if kept is not None and path is not None and kept.write(directory, path):
        return kept.described
    described: dict[str, Any] = {}

    def signatures_of(spec: Any, receiver: Any) -> dict[str, Any]:
        outputs = _serving_outputs(spec)
        described.update({name: _describe(output, "features") for name, output in outputs.items()})
        described[EXAMPLES] = _describe(outputs[PREDICT], EXAMPLES)
        definitions = {name: _definition(output, receiver.receiver_tensors) for name, output in outputs.items()}
        alternative = receiver.receiver_tensors_alternatives[EXAMPLES]
        return {**definitions, EXAMPLES: _definition(outputs[PREDICT], alternative)}

    receiver_fns = {ModeKeys.PREDICT: lambda: feature.receiver(infos)}
    write(estimator, directory, receiver_fns, path, signatures_of=signatures_of)
    serving_graph.keep(estimator, infos, path, directory, described)
    return described


def _write_assets(
    assets: Path, content: Mapping[str, Any], examples: Sequence[Mapping[str, Any]], infos: Sequence[FeatureInfo]
) -> None:
    assets.mkdir()
    (assets / SERVING_JSON).write_text(json.dumps(content, ensure_ascii=False, allow_nan=False))
    if examples:
        names = [name for name, signature in content["signatures"].items() if signature["input"] == "features"]
        write_warm_up_requests(assets / WARM_UP_REQUESTS, names, rows.arrays(examples, infos))


def _label_vocabulary(estimator: Any, given: Sequence[str] | None) -> list[str] | None:
    names = given if given is not None else getattr(getattr(estimator, "head", None), "_label_vocabulary", None)
    return None if names is None else list(names)


def _serving_outputs(spec: Any) -> dict[str, Any]:
    """Signature name to output; the default signature answers the predictions."""
    outputs = export_outputs(spec)
    default = outputs.pop(DEFAULT)
    predict = outputs.pop(PREDICT, None)
    if predict is None:
        predict = default if isinstance(default, PredictOutput) else PredictOutput(spec.predictions)
    return {DEFAULT: predict, PREDICT: predict, **outputs}


def _definition(output: Any, receiver_tensors: Mapping[str, Any]) -> Any:
    return PredictOutput(output.outputs).as_signature_def(receiver_tensors)


def _describe(output: Any, inputs: str) -> dict[str, Any]:
    classify, regress = isinstance(output, ClassificationOutput), isinstance(output, RegressionOutput)
    return {
        "method": "classify" if classify else "regress" if regress else PREDICT,
        "input": inputs,
        "outputs": [
            {"name": name, "dtype": tensor.dtype.name, "shape": _shape(tensor)}
            for name, tensor in sorted(output.outputs.items())
        ],
    }


def _shape(tensor: tf.Tensor) -> list[int | None] | None:
    return None if tensor.shape.rank is None else list(tensor.shape.as_list())


def _global_step(checkpoint_path: str) -> int | None:
    reader = tf.train.load_checkpoint(checkpoint_path)
    return int(reader.get_tensor("global_step")) if reader.has_tensor("global_step") else None
