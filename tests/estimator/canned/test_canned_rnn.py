"""`RNNClassifier` and `RNNEstimator`: ways to name cells, sequences of answers, and argument checks."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tf_estimator.canned.rnn import RNNClassifier, RNNEstimator

fc = tf.feature_column
v1 = tf.compat.v1
_TOKENS = fc.indicator_column(fc.sequence_categorical_column_with_identity("tok", 3))
_WHERE = [[0, 0], [0, 1], [0, 2], [1, 0], [3, 0], [3, 1]]  # row 2 has no step


def _features():
    return {"tok": tf.SparseTensor(_WHERE, tf.constant([0, 1, 2, 1, 2, 2], tf.int64), [4, 3])}


def _predictions(estimator, mode="infer"):
    with tf.Graph().as_default():
        v1.set_random_seed(1)
        spec = estimator.model_runtime.call_model_fn(_features(), None, mode, estimator.config)
        with v1.Session() as session:
            session.run([v1.global_variables_initializer(), v1.tables_initializer()])
            names = [v.op.name for v in v1.trainable_variables()]
            return names, session.run(spec.predictions)


def test_cells_by_class_and_by_function_are_those_by_name():
    by_name, _ = _predictions(RNNClassifier([_TOKENS], units=[4, 3], cell_type="lstm"))
    by_class, _ = _predictions(RNNClassifier([_TOKENS], units=[4, 3], cell_type=tf.keras.layers.LSTMCell))

    def cells():
        return tf.keras.layers.StackedRNNCells([tf.keras.layers.LSTMCell(4), tf.keras.layers.LSTMCell(3)])

    by_function, _ = _predictions(RNNClassifier([_TOKENS], rnn_cell_fn=cells))
    assert by_name == by_class == by_function
    assert "rnn_model/rnn/stacked_rnn_cells/lstm_cell_1/recurrent_kernel" in by_name


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_fast_cells_answer_as_keras_layers_do(cell):
    layer_class = {"lstm": tf.keras.layers.LSTM, "gru": tf.keras.layers.GRU, "simple_rnn": tf.keras.layers.SimpleRNN}[
        cell
    ]
    estimator = RNNClassifier([_TOKENS], units=[4], cell_type=cell)
    with tf.Graph().as_default():
        v1.set_random_seed(1)
        spec = estimator.model_runtime.call_model_fn(_features(), None, "infer", estimator.config)
        with v1.Session() as session:
            session.run([v1.global_variables_initializer(), v1.tables_initializer()])
            logits, weights = session.run([spec.predictions["logits"], v1.trainable_variables()])
            names = [v.op.name.rpartition("/")[2] for v in v1.trainable_variables()]
    kernel, recurrent, bias, out, out_bias = weights
    assert names == ["kernel", "recurrent_kernel", "bias", "kernel", "bias"]
    layer = layer_class(4)
    one_hot = np.zeros([4, 3, 3], np.float32)
    for (row, step), token in zip(_WHERE, [0, 1, 2, 1, 2, 2], strict=True):
        one_hot[row, step, token] = 1.0
    mask = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0]], bool)
    layer.build(one_hot.shape)
    layer.set_weights([kernel, recurrent, bias])
    expected = layer(one_hot, mask=tf.constant(mask)).numpy() @ out + out_bias
    rows = [0, 1, 3]
    np.testing.assert_allclose(logits[rows], expected[rows], rtol=1e-4, atol=1e-6)
    # A row without steps: the state is still zero, and the logits are the bias.
    np.testing.assert_allclose(logits[2], out_bias, atol=1e-6)


class Doubling(tf.keras.layers.Layer):
    """A cell of a user's: the state becomes twice the sum of the inputs so far."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel", initializer="ones")

    def call(self, inputs, states, training=None):
        state = states[0] + inputs @ self.kernel
        return 2.0 * state, [state]


def test_own_cells_train(tmp_path):
    labels = np.array([1, 0, 0, 1])

    def input_fn():
        return tf.data.Dataset.from_tensors((_features(), labels)).repeat()

    config = est.RunConfig(str(tmp_path), save_summary_steps=None, log_step_count_steps=None)
    estimator = RNNClassifier([_TOKENS], units=[2], cell_type=Doubling, config=config)
    estimator.train(input_fn, steps=2)
    names = [name for name in estimator.get_variable_names() if name.startswith("rnn_model")]
    assert "rnn_model/logits/kernel" in names
    assert len(names) == 3
    assert np.isfinite(estimator.evaluate(input_fn, steps=1)["loss"])


def test_answers_for_every_step_come_with_their_mask(tmp_path):
    labels = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0]])

    def input_fn():
        return tf.data.Dataset.from_tensors((_features(), labels)).repeat()

    config = est.RunConfig(str(tmp_path), save_summary_steps=None, log_step_count_steps=None)
    estimator = RNNClassifier([_TOKENS], units=[4], cell_type="gru", return_sequences=True, config=config)
    estimator.train(input_fn, steps=3)
    metrics = estimator.evaluate(input_fn, steps=1)
    # Of the six steps, 3 in row 0, 1 in row 1, 2 in row 3, five have label 1: all but the first.
    assert metrics["label/mean"] == pytest.approx(5 / 6)
    (batch,) = estimator.predict(lambda: tf.data.Dataset.from_tensors(_features()), yield_single_examples=False)
    assert batch["logits"].shape == (4, 3, 1)
    assert batch["sequence_mask"].tolist() == [[True] * 3, [True, False, False], [False] * 3, [True, True, False]]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"units": [4], "rnn_cell_fn": lambda: None}, "must not be specified when using rnn_cell_fn"),
        ({"cell_type": "gru", "rnn_cell_fn": lambda: None}, "must not be specified when using rnn_cell_fn"),
        ({}, "Pass units"),
        ({"units": [4], "cell_type": "gruu"}, "Supported strings are"),
        ({"units": [0], "cell_type": "gru"}, "units must be a list"),
        ({"units": [4], "cell_type": "gru", "optimizer": "Adagard"}, "Supported names"),
        ({"units": [4], "context_feature_columns": [fc.categorical_column_with_identity("k", 2)]}, "DenseColumn"),
    ],
)
def test_wrong_arguments_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        RNNClassifier([_TOKENS], **arguments)


def test_sequences_of_answers_need_a_head_for_steps():
    with pytest.raises(ValueError, match="SequentialHeadWrapper"):
        RNNEstimator(est.BinaryClassHead(), [_TOKENS], units=[4], cell_type="gru", return_sequences=True)
    with pytest.raises(TypeError, match="string"):
        weight = fc.numeric_column("w")
        RNNClassifier([_TOKENS], units=[4], cell_type="gru", return_sequences=True, weight_column=[weight])
