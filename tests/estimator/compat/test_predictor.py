"""`est.predictor`: exports and estimators as functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est

X = np.array([[1.0], [2.0]], np.float32)


@pytest.fixture
def trained(tmp_path: Path) -> est.Estimator:
    """A linear regressor of one feature."""
    estimator = est.LinearRegressor([tf.feature_column.numeric_column("x")], model_dir=str(tmp_path / "model"))
    return estimator.train(lambda: tf.data.Dataset.from_tensors(({"x": X}, 2 * X)).repeat(3))


def _receiver() -> Any:
    # Placeholders are made where the receiver function is called.
    x = tf.compat.v1.placeholder(tf.float32, [None, 1])
    return est.export.ServingInputReceiver({"x": x}, {"x": x})


def _expected(estimator: est.Estimator) -> Any:
    return np.stack([p["predictions"] for p in estimator.predict(lambda: tf.data.Dataset.from_tensors({"x": X}))])


def test_saved_model_answers_as_predict_does(trained: est.Estimator, tmp_path: Path) -> None:
    path = trained.export_saved_model(str(tmp_path / "export"), _receiver)
    predict = est.predictor.from_saved_model(path, signature_def_key="predict")
    np.testing.assert_allclose(predict({"x": X})["predictions"], _expected(trained), rtol=1e-6)
    names = {name: tensor.name for name, tensor in predict.feed_tensors.items()}
    outputs = {"y": predict.fetch_tensors["predictions"].name}
    named = est.predictor.from_saved_model(path.decode(), input_names=names, output_names=outputs)
    np.testing.assert_array_equal(named({"x": X})["y"], predict({"x": X})["predictions"])
    with pytest.raises(ValueError, match=r"unexpected keys in input_dict: \['z'\]; the inputs are \['x'\]"):
        predict({"z": X})
    with pytest.raises(ValueError, match="the signatures of the export are"):
        est.predictor.from_saved_model(path, "other")
    with pytest.raises(ValueError, match="both be specified"):
        est.predictor.from_saved_model(path, input_names=names)
    with pytest.raises(ValueError, match="Specify only one of"):
        est.predictor.from_saved_model(path, "predict", input_names=names, output_names=outputs)
    predict.close()
    named.close()


def test_estimator_answers_as_predict_does(trained: est.Estimator) -> None:
    predict = est.predictor.from_estimator(trained, _receiver, output_key="predict")
    np.testing.assert_allclose(predict({"x": X})["predictions"], _expected(trained), rtol=1e-6)
    predict.close()
    with pytest.raises(TypeError, match=r"must be an est\.Estimator"):
        est.predictor.from_estimator(predict, _receiver)  # type: ignore[arg-type]
