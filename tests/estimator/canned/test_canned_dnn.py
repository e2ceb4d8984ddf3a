"""`DNNClassifier` and its kin through `Estimator`: the documents' examples, dropout, and argument checks."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est

v1 = tf.compat.v1
fc = tf.feature_column
_ROWS = 32
_X = np.random.default_rng(0).normal(size=[_ROWS]).astype(np.float32)
_Y = (_X > 0).astype(np.int64)
_COLUMNS = [fc.embedding_column(fc.categorical_column_with_hash_bucket("word", 8), 2), fc.numeric_column("x")]


def _input():
    words = np.where(_X > 0.5, b"big", b"small")
    return tf.data.Dataset.from_tensor_slices(({"x": _X, "word": words}, _Y)).batch(16).repeat()


def _config(path, **settings):
    return est.RunConfig(str(path), save_summary_steps=None, log_step_count_steps=None, tf_random_seed=5, **settings)


class _Loss(v1.train.SessionRunHook):
    """The losses of a training."""

    def __init__(self):
        self.values = []

    def begin(self):
        self._loss = v1.get_default_graph().get_tensor_by_name("head/Mean:0")

    def before_run(self, run_context):
        return v1.train.SessionRunArgs(self._loss)

    def after_run(self, run_context, run_values):
        self.values.append(float(run_values.results))


def _decayed_adam():
    rate = v1.train.exponential_decay(0.1, global_step=v1.train.get_global_step(), decay_steps=10000, decay_rate=0.96)
    return tf.keras.optimizers.Adam(learning_rate=rate)


@pytest.mark.parametrize(
    ("optimizer", "slot"),
    [
        ("Adagrad", "training/Adagrad/dnn/logits/bias/accumulator"),
        (
            v1.train.ProximalAdagradOptimizer(learning_rate=0.1, l1_regularization_strength=0.001),
            "dnn/logits/bias/ProximalAdagrad",
        ),
        (_decayed_adam, "training/Adam/dnn/logits/bias/m"),
    ],
    ids=["string", "proximal_adagrad", "callable_with_decay"],
)
def test_optimizer_examples_of_the_document_train(tmp_path, optimizer, slot):
    estimator = est.DNNClassifier([4], _COLUMNS, config=_config(tmp_path), optimizer=optimizer)
    estimator.train(_input, steps=1)
    before = estimator.get_variable_value("dnn/logits/kernel")

    estimator.train(_input, steps=4)

    assert slot in estimator.get_variable_names()
    assert not np.array_equal(before, estimator.get_variable_value("dnn/logits/kernel"))
    assert estimator.get_variable_value("global_step") == 5


def test_dropout_repeats_after_a_resume(tmp_path):
    losses = []
    for name, parts in (("whole", [6]), ("resumed", [3, 3])):
        hook = _Loss()
        for steps in parts:
            estimator = est.DNNClassifier([8], _COLUMNS, dropout=0.5, config=_config(tmp_path / name))
            estimator.train(_input, steps=steps, hooks=[hook, est.hooks.KeepInputPosition()])
        losses.append(hook.values)
    assert losses[0] == losses[1]
    # The same step with another seed drops others.
    hook = _Loss()
    other = _config(tmp_path / "other").replace(tf_random_seed=6)
    est.DNNClassifier([8], _COLUMNS, dropout=0.5, config=other).train(_input, steps=1, hooks=[hook])
    assert hook.values[0] != losses[0][0]


def test_regressor_with_no_hidden_layer_learns_the_line(tmp_path):
    def lines():
        return tf.data.Dataset.from_tensor_slices(({"x": _X}, 3.0 * _X + 1.0)).batch(_ROWS).repeat()

    estimator = est.DNNRegressor(
        [], [fc.numeric_column("x")], config=_config(tmp_path), optimizer=tf.keras.optimizers.SGD(0.2)
    )
    estimator.train(lines, steps=60)
    assert estimator.get_variable_value("dnn/logits/kernel")[0, 0] == pytest.approx(3.0, abs=1e-2)
    assert estimator.get_variable_value("dnn/logits/bias")[0] == pytest.approx(1.0, abs=1e-2)


def test_no_activation_means_relu():
    values = []
    for activation in (None, tf.nn.relu, tf.identity):
        with tf.Graph().as_default():
            v1.set_random_seed(1)
            estimator = est.DNNClassifier([8], [fc.numeric_column("x")], activation_fn=activation)
            spec = estimator.model_runtime.call_model_fn(
                {"x": tf.constant([[1.0], [-2.0]])}, None, "infer", estimator.config
            )
            with v1.Session() as session:
                session.run(v1.global_variables_initializer())
                values.append(session.run(spec.predictions["logits"]))
    np.testing.assert_array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])


def test_document_of_the_head_runs(tmp_path):
    """The model_fn of the Head document: a feature layer, Keras layers or a Keras model, and the head's spec."""

    def model_fn(features, labels, mode, params, config=None):
        head = est.RegressionHead()
        inputs = est.layers.DenseFeatures([fc.numeric_column("x")])(features)
        if params["sequential"]:
            model = tf.keras.Sequential()
            model.add(tf.keras.layers.Dense(8, activation="relu"))
            model.add(tf.keras.layers.Dense(units=head.logits_dimension, activation=None))
            logits = model(inputs)
        else:
            hidden = tf.keras.layers.Dense(units=8, activation="relu")(inputs)
            logits = tf.keras.layers.Dense(units=head.logits_dimension, activation=None)(hidden)
        return head.create_estimator_spec(
            features=features,
            mode=mode,
            labels=labels,
            logits=logits,
            optimizer=tf.keras.optimizers.Adam(0.05) if mode == est.ModeKeys.TRAIN else None,
        )

    def numbers():
        return tf.data.Dataset.from_tensor_slices(({"x": _X}, 2.0 * _X)).batch(_ROWS).repeat()

    for sequential in (True, False):
        path = tmp_path / str(sequential)
        estimator = est.Estimator(model_fn, config=_config(path), params={"sequential": sequential})
        estimator.train(numbers, steps=40)
        metrics = estimator.evaluate(numbers, steps=1)
        # Half of the labels' variance is left at most; a constant answer leaves all of it.
        assert metrics["average_loss"] < 0.5 * float(np.var(2.0 * _X))
        assert metrics["global_step"] == 40
        assert "training/Adam/learning_rate" in estimator.get_variable_names()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: est.DNNClassifier([4], _COLUMNS, n_classes=1), "n_classes must be > 1"),
        (lambda: est.DNNClassifier([0], _COLUMNS), "hidden_units must hold integers"),
        (lambda: est.DNNClassifier(4, _COLUMNS), "hidden_units must be a list"),
        (lambda: est.DNNClassifier([4], _COLUMNS, dropout=1.0), r"dropout .* in \[0, 1\)"),
        (lambda: est.DNNClassifier([4], _COLUMNS, optimizer="Adagard"), "Supported names"),
        (lambda: est.DNNClassifier([4], _COLUMNS, loss_reduction="none"), "Invalid loss_reduction"),
        (lambda: est.DNNLinearCombinedClassifier(), "Either linear_feature_columns or dnn_feature_columns"),
        (lambda: est.DNNLinearCombinedClassifier(dnn_feature_columns=_COLUMNS), "dnn_hidden_units must be defined"),
        (lambda: est.LinearClassifier(_COLUMNS, sparse_combiner="max"), "sparse_combiner"),
        (lambda: est.BaselineRegressor(label_dimension=0), "label_dimension"),
    ],
)
def test_wrong_arguments_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_features_must_be_a_dict_with_all_columns(tmp_path):
    estimator = est.DNNClassifier([4], _COLUMNS, config=_config(tmp_path))
    with pytest.raises(ValueError, match="should be a dictionary"):
        estimator.train(lambda: tf.data.Dataset.from_tensors((_X[:, None], _Y)), steps=1)
    with pytest.raises(KeyError, match="Feature word is not in features"):
        estimator.train(lambda: tf.data.Dataset.from_tensors(({"x": _X}, _Y)), steps=1)
