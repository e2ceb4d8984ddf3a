"""One recorded case: its inputs, its estimator, and comparisons with what was recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tf_estimator as est
from tf_estimator.keys import ModeKeys
from tf_estimator.model_fn import parameters_of
from workers.estimator_json.build import argument_from_json, estimator_from_json

_LOSS = {"rtol": 1e-4, "atol": 0.0}
_VALUE = {"rtol": 1e-3, "atol": 1e-5}
_METRIC = 1e-3


class _Losses(tf.compat.v1.train.SessionRunHook):
    """Fetches the loss of every step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def begin(self) -> None:
        (self._loss,) = tf.compat.v1.get_collection("golden_loss")

    def before_run(self, run_context: Any) -> Any:
        return tf.compat.v1.train.SessionRunArgs(self._loss)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.values.append(float(run_values.results))


class GoldenCase:
    """Builds the estimator of a folder in a copy of its recorded model directory."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.spec = json.loads((folder / "spec.json").read_text())
        self.expected = json.loads((folder / "expected.json").read_text())
        with np.load(folder / "expected.npz") as arrays:
            self.arrays = {key: arrays[key] for key in arrays.files}
        with np.load(folder / "data.npz") as arrays:
            self.data = {key: arrays[key] for key in arrays.files}
        self.scratch = scratch
        shutil.copytree(folder / "model", scratch / "model")
        config = est.RunConfig(save_summary_steps=None, log_step_count_steps=None)
        make = _v1_estimator if self.spec.get("api") == "v1" else estimator_from_json
        self.estimator = make(self.spec, str(scratch / "model"), config)

    def train(self) -> np.ndarray:
        """Trains the recorded steps on the rows in order; the loss of each step."""
        hook = _Losses()
        estimator_losses = _with_loss_collection(self.estimator)
        estimator_losses.train(self._input(repeat=True), steps=self.spec["train_steps"], hooks=[hook])
        return np.array(hook.values)

    def check_losses(self, losses: np.ndarray) -> None:
        np.testing.assert_allclose(losses, self.arrays["loss"], **_LOSS)

    def check_variables(self) -> None:
        names = set(self.estimator.get_variable_names())
        missing = sorted(set(self.expected["variables"]) - names)
        assert not missing, f"variables of the recorded checkpoint that ours has not: {missing}"
        for key, expected in self.arrays.items():
            if key.startswith("v:"):
                actual = self.estimator.get_variable_value(key[2:])
                np.testing.assert_allclose(actual, expected, **_VALUE, err_msg=key)

    def check_evaluation(self) -> None:
        actual = self.estimator.evaluate(self._input())
        assert set(actual) == set(self.expected["evaluate"])
        for name, expected in self.expected["evaluate"].items():
            np.testing.assert_allclose(actual[name], expected, rtol=0.0, atol=_METRIC, err_msg=name)

    def check_predictions(self) -> None:
        (batch,) = self.estimator.predict(self._input(first=8), yield_single_examples=False)
        actual = {"/".join(key) if isinstance(key, tuple) else key: value for key, value in batch.items()}
        expected = {key[2:]: value for key, value in self.arrays.items() if key.startswith("p:")}
        assert set(actual) == set(expected)
        for key, value in expected.items():
            if value.dtype.kind in "SUO":
                assert np.asarray(actual[key]).astype("S").tolist() == value.astype("S").tolist(), key
            else:
                np.testing.assert_allclose(actual[key], value, **_VALUE, err_msg=key)

    def check_signatures(self) -> None:
        """Names of the signatures and their outputs, of an export with a parsing receiver."""
        recorded = self.expected["signatures"]
        if "error" in recorded:
            return
        columns = [c for key, made in self._columns() if key.endswith("feature_columns") for c in made]
        receiver = est.export.build_parsing_serving_input_receiver_fn(
            tf.feature_column.make_parse_example_spec(columns)
        )
        path = self.estimator.export_saved_model(str(self.scratch / "export"), receiver)
        loaded = tf.saved_model.load(path.decode() if isinstance(path, bytes) else path)
        actual = {name: sorted(signature.structured_outputs) for name, signature in loaded.signatures.items()}
        assert actual == {name: sorted(outputs) for name, outputs in recorded.items()}

    def _columns(self) -> list[tuple[str, list[Any]]]:
        from workers.estimator_json.build import feature_columns_from_json

        args = self.spec["args"]
        return [(key, feature_columns_from_json(args[key])) for key in args if key.endswith("feature_columns")]

    def _input(self, repeat: bool = False, first: int | None = None) -> Callable[[], tf.data.Dataset]:
        def input_fn() -> tf.data.Dataset:
            rows = tf.data.Dataset.from_tensor_slices((self._features(), self._labels()))
            if first is not None:
                return rows.batch(first).take(1)
            batches = rows.batch(self.spec["batch_size"])
            return batches.repeat() if repeat else batches

        return input_fn

    def _features(self) -> dict[str, Any]:
        features: dict[str, Any] = {}
        for key, values in self.data.items():
            kind, _, name = key.partition(":")
            if kind == "f":
                features[name] = values
            elif kind == "s":
                lengths = self.data[f"n:{name}"]
                indices = np.argwhere(np.arange(values.shape[1])[None, :] < lengths[:, None])
                features[name] = tf.SparseTensor(indices, values[tuple(indices.T)], values.shape[:2])
        return features

    def _labels(self) -> Any:
        if "labels" in self.data:
            return self.data["labels"]
        return {key.partition(":")[2]: value for key, value in self.data.items() if key.startswith("labels:")}


def _v1_estimator(spec: dict[str, Any], model_dir: str, config: Any) -> Any:
    """The estimator of v1; `…Optimizer` is a class of `tf.compat.v1.train`, a reduction of `tf.compat.v1.losses`."""
    args = {}
    for key, value in spec["args"].items():
        if key.endswith("optimizer") and isinstance(value, dict):
            given = {name: number for name, number in value.items() if name != "type"}
            args[key] = getattr(tf.compat.v1.train, value["type"])(**given)
        elif key.endswith("optimizer"):
            args[key] = value
        elif key == "loss_reduction":
            args[key] = getattr(tf.compat.v1.losses.Reduction, value)
        else:
            args[key] = argument_from_json(key, value, f"/args/{key}")
    return getattr(est.v1, spec["estimator"])(model_dir=model_dir, config=config, **args)


def _with_loss_collection(estimator: Any) -> Any:
    """The estimator, whose training graph then names its loss so that a hook finds it."""
    runtime = estimator.model_runtime
    inner = runtime.model_fn

    def model_fn(features: Any, labels: Any, mode: str, config: Any) -> Any:
        wanted = {"features": features, "labels": labels, "mode": mode, "config": config}
        spec = inner(**{name: wanted[name] for name in parameters_of(inner)})
        if mode == ModeKeys.TRAIN:
            tf.compat.v1.add_to_collection("golden_loss", spec.loss)
        return spec

    runtime.model_fn = model_fn
    return estimator
