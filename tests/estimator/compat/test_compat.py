"""`compat.install()`: old-style scripts run unchanged, in a process of their own."""

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[3]

CANNED = """
    import numpy as np
    import tensorflow as tf
    from tensorflow import estimator as imported
    import tensorflow.estimator

    assert imported is tf.estimator is tf.compat.v2.estimator
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 2)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)

    def input_fn():
        return tf.data.Dataset.from_tensor_slices(({"x": x}, y)).shuffle(64, seed=1).repeat(20).batch(16)

    columns = [tf.feature_column.numeric_column("x", shape=(2,))]
    config = tf.estimator.RunConfig(model_dir="model", tf_random_seed=1, save_checkpoints_steps=40)
    classifier = tf.estimator.DNNClassifier(hidden_units=[8], feature_columns=columns, config=config,
        optimizer=lambda: tf.keras.optimizers.Adam(0.05))
    hook = tf.estimator.LoggingTensorHook(["global_step:0"], every_n_iter=10)
    exporter = tf.estimator.LatestExporter(
        "latest",
        tf.estimator.export.build_parsing_serving_input_receiver_fn(tf.feature_column.make_parse_example_spec(columns)),
    )
    metrics, exports = tf.estimator.train_and_evaluate(
        classifier,
        tf.estimator.TrainSpec(input_fn, max_steps=80, hooks=[hook]),
        tf.estimator.EvalSpec(input_fn, exporters=exporter, throttle_secs=0),
    )
    assert metrics["accuracy"] > 0.7, metrics
    assert "predict" in tf.saved_model.load(exports[0].decode()).signatures
    assert tf.estimator.ModeKeys.PREDICT == "infer"
    early = tf.estimator.experimental.stop_if_no_decrease_hook(classifier, "loss", 10)
    assert isinstance(early, tf.estimator.SessionRunHook)
    assert tf.estimator.experimental.RNNClassifier.__name__ == "RNNClassifier"
    print("done")
"""

TF1 = """
    import tensorflow.compat.v1 as tf

    tf.logging.set_verbosity(tf.logging.ERROR)

    def model_fn(features, labels, mode, params):
        net = tf.feature_column.input_layer(features, params["columns"])
        kernel = tf.get_variable("kernel", [1, 1], initializer=tf.zeros_initializer())
        predictions = tf.matmul(net, kernel)
        if mode == tf.estimator.ModeKeys.PREDICT:
            return tf.estimator.EstimatorSpec(mode, predictions={"y": predictions})
        loss = tf.losses.mean_squared_error(labels, predictions)
        if mode == tf.estimator.ModeKeys.EVAL:
            rmse = tf.metrics.root_mean_squared_error(labels, predictions)
            return tf.estimator.EstimatorSpec(mode, loss=loss, eval_metric_ops={"rmse": rmse})
        optimizer = tf.train.GradientDescentOptimizer(0.1)
        train_op = optimizer.minimize(loss, global_step=tf.train.get_global_step())
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train_op)

    def input_fn():
        features = {"x": tf.constant([[1.0], [2.0], [-1.0]])}
        return features, tf.constant([[2.0], [4.0], [-2.0]])

    estimator = tf.estimator.Estimator(
        model_fn, model_dir="model", params={"columns": [tf.feature_column.numeric_column("x")]}
    )
    estimator.train(input_fn, steps=50)
    assert abs(estimator.get_variable_value("kernel")[0, 0] - 2) < 1e-3
    result = estimator.evaluate(input_fn, steps=1)
    assert result["rmse"] < 1e-2 and result["global_step"] == 50
    print("done")
"""

KERAS = """
    import tensorflow as tf

    def model_fn(features, labels, mode, params):
        head = tf.estimator.RegressionHead()
        inputs = tf.keras.layers.DenseFeatures(params["columns"])(features)
        model = tf.keras.Sequential([tf.keras.layers.Dense(8, activation="relu"), tf.keras.layers.Dense(1)])
        logits = model(inputs)
        return head.create_estimator_spec(
            features=features, mode=mode, labels=labels, logits=logits,
            optimizer=tf.keras.optimizers.Adam(0.01), trainable_variables=model.trainable_variables,
        )

    def input_fn():
        features = {"x": [[1.0], [2.0], [-1.0]], "k": [["a"], ["b"], ["a"]]}
        return tf.data.Dataset.from_tensors((features, [[2.0], [4.0], [-2.0]])).repeat(30)

    word = tf.feature_column.categorical_column_with_vocabulary_list("k", ["a", "b"])
    columns = [tf.feature_column.numeric_column("x"), tf.feature_column.indicator_column(word)]
    estimator = tf.estimator.Estimator(model_fn, model_dir="model", params={"columns": columns})
    estimator.train(input_fn)
    first = estimator.evaluate(input_fn, steps=1)
    estimator.train(input_fn)
    assert estimator.evaluate(input_fn, steps=1)["average_loss"] < first["average_loss"]
    print("done")
"""


INSTALLED = """
    import tensorflow as tf
    from tf_estimator import compat

    first = tf.estimator.DNNClassifier
    compat.install()
    assert tf.estimator.DNNClassifier is first is not tf.compat.v1.estimator.DNNClassifier
    from tensorflow.estimator import experimental, export, inputs
    assert tf.keras.experimental.SequenceFeatures and tf.keras.estimator.model_to_estimator
    print("done")
"""

RUN = """
import os, runpy
from tf_estimator import compat
compat.install()
for script in ("canned", "tf1", "old_keras", "installed"):
    os.makedirs(script)
    os.chdir(script)
    runpy.run_path(f"../{script}.py")
    os.chdir("..")
    print(script)
"""


def test_old_scripts_run_unchanged(tmp_path):
    for name, script in {"canned": CANNED, "tf1": TF1, "old_keras": KERAS, "installed": INSTALLED}.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(script))
    run = subprocess.run(
        [sys.executable, "-c", RUN],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3", "HOME": str(tmp_path)},
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr[-4000:]}"
    assert run.stdout.split() == ["done", "canned", "done", "tf1", "done", "old_keras", "done", "installed"]
