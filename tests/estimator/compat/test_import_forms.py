"""Import forms of public scripts, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

SCRIPT = """
from tf_estimator import compat
compat.install()
import tensorflow as tf
import tf_estimator as est
v1 = tf.compat.v1.estimator

import tensorflow.estimator as a
from tensorflow.compat.v1 import estimator as b
from tensorflow.compat.v1.estimator.inputs import numpy_input_fn, pandas_input_fn
from tensorflow.keras.estimator import model_to_estimator
from tensorflow.compat.v1.keras.estimator import model_to_estimator as converter
assert a is tf.estimator and b is v1 and model_to_estimator is converter is est.model_to_estimator
assert v1.DNNClassifier is est.v1.DNNClassifier is not tf.estimator.DNNClassifier
assert numpy_input_fn is tf.compat.v1.estimator.inputs.numpy_input_fn

import tensorflow_estimator as package
from tensorflow_estimator import estimator as c
from tensorflow_estimator.python.estimator import estimator as d, run_config
from tensorflow_estimator.python.estimator.canned import dnn, linear
from tensorflow_estimator.python.estimator.canned.prediction_keys import PredictionKeys
from tensorflow_estimator.python.estimator.export.export import build_parsing_serving_input_receiver_fn
from tensorflow_estimator.python.estimator.model_fn import EstimatorSpec, ModeKeys
from tensorflow_estimator.python.estimator.training import train_and_evaluate
from tensorflow_estimator.python.estimator.inputs import numpy_io
import tensorflow_estimator.python.estimator.estimator_lib as lib
from tensorflow_estimator.compat.v1 import estimator as e
assert c is tf.estimator and e is v1 and package.estimator is c
assert d.Estimator is est.Estimator and run_config.RunConfig is est.RunConfig
assert dnn.DNNClassifier is est.v1.DNNClassifier and dnn.DNNClassifierV2 is est.DNNClassifier
assert linear.LinearRegressor is lib.LinearRegressor is est.v1.LinearRegressor
assert EstimatorSpec is est.EstimatorSpec and ModeKeys.TRAIN == "train" and PredictionKeys.LOGITS == "logits"
assert numpy_io.numpy_input_fn is numpy_input_fn and train_and_evaluate is est.train_and_evaluate

from tensorflow.python.estimator import estimator as f
from tensorflow.python.estimator.canned.dnn import DNNClassifier
import tensorflow.python.estimator.run_config
assert f is not d and f.Estimator is d.Estimator and DNNClassifier is est.v1.DNNClassifier

for statement, said in (
    ("from tensorflow.estimator import BoostedTreesClassifier", "XGBoost"),
    ("from tensorflow.estimator.experimental import LinearSDCA", "Ftrl"),
    ("from tensorflow.compat.v1.estimator.experimental import KMeans", "sklearn"),
    ("from tensorflow.compat.v1.estimator import tpu", "EstimatorSpec"),
    ("import tensorflow_estimator.python.estimator.tpu.tpu_estimator", "docs/engine-api.md"),
    ("from tensorflow.python.estimator.canned import head", "docs/engine-api.md"),
    ("from tensorflow.estimator import DNNClasifier", "cannot import name"),
):
    try:
        exec(statement)
    except ImportError as error:
        assert said in str(error), (statement, error)
    else:
        raise AssertionError(statement)
print("done")
"""


def test_import_forms_of_public_scripts_work(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": str(tmp_path)},
    )
    assert run.returncode == 0, run.stderr[-4000:]
    assert run.stdout.split() == ["done"]
