#!/usr/bin/env python3
"""Records what `tf.estimator` does, as data for tests/estimator/test_golden.py.

Runs in an environment with TensorFlow 2.15.1 and tensorflow-estimator 2.15.0 (scripts/bench makes one below
benchmarks/.peers), not in the project's own:

    benchmarks/.peers/tf215/bin/python scripts/record_golden.py tests/golden/v1_dnn_adam ...

Each folder has a spec.json; the other files, which tests/golden/README.md describes, are written beside it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
fc = tf.feature_column


class Losses(v1.train.SessionRunHook):
    """Fetches the loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def before_run(self, run_context: Any) -> Any:
        (loss,) = (t for t in v1.get_collection(v1.GraphKeys.LOSSES)[-1:])
        return v1.train.SessionRunArgs(loss)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.values.append(float(run_values.results))


def make_data(spec: dict[str, Any]) -> dict[str, np.ndarray]:
    """The rows of `spec["data"]`; labels follow the features, so that there is something to learn."""
    data, rng = spec["data"], np.random.default_rng(spec["seed"])
    rows, found, score = data["rows"], {}, np.zeros(data["rows"])
    for feature in data["features"]:
        name, shape = feature["name"], feature.get("shape", [])
        if feature["kind"] == "float":
            values = rng.normal(size=(rows, *shape)).astype(np.float32)
            score += values.reshape(rows, -1) @ rng.normal(size=max(int(np.prod(shape)), 1))
        elif feature["kind"] == "weight":
            values = rng.integers(0, 4, rows).astype(np.float32) / 2
        else:
            chosen = rng.integers(0, len(feature["values"]), (rows, *shape))
            values = np.array(feature["values"])[chosen]
            score += rng.normal(size=len(feature["values"]))[chosen.reshape(rows, -1)].sum(1)
        found[f"f:{name}"] = np.char.encode(values) if values.dtype.kind == "U" else values
    labels = data["labels"]
    if labels["kind"] == "float":
        width = labels.get("n", 1)
        noise = rng.normal(scale=0.1, size=(rows, width))
        target = (np.tanh(score)[:, None] * np.arange(1, width + 1) + noise).astype(np.float32)
        found["labels"] = target[:, 0] if width == 1 else target
    else:
        n = labels["n"]
        classes = np.argsort(np.argsort(score)) * n // rows
        found["labels"] = np.array(labels["values"], "S")[classes] if "values" in labels else classes.astype(np.int64)
    return found


def column(spec: dict[str, Any]) -> Any:
    """A feature column (several for shared embeddings) of its JSON form."""
    args = {key: value for key, value in spec.items() if key != "type"}
    for key, value in args.items():
        if key in {"categorical_column", "source_column"}:
            args[key] = column(value)
        elif key == "categorical_columns":
            args[key] = [column(one) for one in value]
        elif key == "keys":
            args[key] = [one if isinstance(one, str) else column(one) for one in value]
        elif key == "dtype":
            args[key] = tf.as_dtype(value)
    with tf.Graph().as_default():
        return getattr(fc, spec["type"])(**args)


def columns(specs: list[Any]) -> list[Any]:
    made = [column(spec) for spec in specs]
    return [one for item in made for one in (item if isinstance(item, list) else [item])]


def argument(key: str, value: Any, old: bool) -> Any:
    """One argument of the estimator."""
    if key.endswith("feature_columns"):
        return columns(value)
    if key.endswith("optimizer") and isinstance(value, dict):
        home = v1.train if old else tf.keras.optimizers.legacy
        return getattr(home, value["type"])(**{k: v for k, v in value.items() if k != "type"})
    if key == "loss_reduction" and old:
        return getattr(v1.losses.Reduction, value)
    if key.endswith("activation_fn"):
        return getattr(tf.nn, value)
    return value


def estimator(spec: dict[str, Any], directory: str) -> Any:
    old = spec.get("api") == "v1"
    home = v1.estimator if old else tf.estimator
    args = {key: argument(key, value, old) for key, value in spec["args"].items()}
    config = tf.estimator.RunConfig(directory, tf_random_seed=spec["seed"], keep_checkpoint_max=None)
    return getattr(home, spec["estimator"])(config=config, **args)


def with_loss_collection(made: Any) -> None:
    """Lets the training graph name its loss."""
    inner = made._model_fn

    def model_fn(features: Any, labels: Any, mode: str, config: Any) -> Any:
        spec = inner(features=features, labels=labels, mode=mode, config=config)
        if mode == "train":
            v1.add_to_collection(v1.GraphKeys.LOSSES, spec.loss)
        return spec

    made._model_fn = model_fn


def signatures(made: Any, spec: dict[str, Any]) -> dict[str, Any]:
    listed = [c for key, value in spec["args"].items() if key.endswith("feature_columns") for c in columns(value)]
    try:
        receiver = tf.estimator.export.build_parsing_serving_input_receiver_fn(fc.make_parse_example_spec(listed))
        path = made.export_saved_model(tempfile.mkdtemp(), receiver)
    except Exception as error:
        return {"error": str(error)}
    loaded = tf.saved_model.load(path.decode())
    return {name: sorted(signature.structured_outputs) for name, signature in loaded.signatures.items()}


def record(folder: Path) -> None:
    """Writes the files of one case."""
    spec = json.loads((folder / "spec.json").read_text())
    data = make_data(spec)
    features = {key[2:]: value for key, value in data.items() if key.startswith("f:")}

    def rows() -> Any:
        return tf.data.Dataset.from_tensor_slices((features, data["labels"]))

    with tempfile.TemporaryDirectory() as directory:
        made, losses = estimator(spec, directory), Losses()
        with_loss_collection(made)
        made.train(lambda: rows().batch(spec["batch_size"]).repeat(), steps=spec["train_steps"], hooks=[losses])
        evaluation = made.evaluate(lambda: rows().batch(spec["batch_size"]))
        (predicted,) = made.predict(lambda: rows().batch(8).take(1), yield_single_examples=False)
        names = made.get_variable_names()
        arrays = {f"v:{name}": made.get_variable_value(name) for name in names}
        arrays.update({f"p:{key}": value for key, value in predicted.items()})
        arrays = {k: v.astype("S") if v.dtype.kind == "O" else v for k, v in arrays.items()}
        expected = {
            "evaluate": {key: float(value) for key, value in sorted(evaluation.items())},
            "peer": f"tensorflow {tf.__version__}, tensorflow-estimator 2.15.0",
            "signatures": signatures(made, spec),
            "variables": {name: list(arrays[f"v:{name}"].shape) for name in sorted(names)},
        }
        (folder / "model").mkdir(exist_ok=True)
        for path in Path(directory).glob("model.ckpt-0.[di]*"):
            shutil.copy(path, folder / "model")
        (folder / "model" / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-0"\n')
    np.savez_compressed(folder / "data.npz", **data)
    np.savez_compressed(folder / "expected.npz", loss=np.array(losses.values), **arrays)
    (folder / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    tf.get_logger().setLevel(logging.ERROR)
    for argument_given in sys.argv[1:]:
        record(Path(argument_given))
        print("recorded", argument_given)
