"""Directories of earlier releases, which call a single cell's variables `rnn_model/rnn/kernel`: read and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tf_estimator as est
from tf_estimator.variables import stored_name, without_cell

v1 = tf.compat.v1


def recurrent(directory: Path) -> Any:
    column = tf.feature_column.sequence_numeric_column("p")
    arguments: dict[str, Any] = {"units": [3], "cell_type": "lstm", "optimizer": "Adagrad"}
    return est.experimental.RNNClassifier([column], model_dir=str(directory), **arguments)


def sequences() -> tf.data.Dataset:
    dense = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    return tf.data.Dataset.from_tensors(({"p": tf.sparse.from_dense(dense)}, np.array([[0], [1]]))).repeat(3)


def as_earlier_releases(checkpoint: str, directory: Path) -> None:
    """Writes a checkpoint's values under the names that earlier releases gave."""
    reader = tf.train.load_checkpoint(checkpoint)
    values = {without_cell(name): reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    with tf.Graph().as_default(), v1.Session() as session:
        variables = [v1.get_variable(name, initializer=value) for name, value in values.items()]
        session.run(v1.global_variables_initializer())
        v1.train.Saver(variables).save(session, str(directory / "model.ckpt"), global_step=2)


def test_directory_without_the_cells_name_trains_on_under_its_names(tmp_path: Path) -> None:
    new = recurrent(tmp_path / "new").train(sequences, steps=2)
    (tmp_path / "old").mkdir()
    as_earlier_releases(new.latest_checkpoint(), tmp_path / "old")
    old = recurrent(tmp_path / "old")
    kernel = new.get_variable_value("rnn_model/rnn/lstm_cell/kernel")
    for name in ("rnn_model/rnn/kernel", "rnn_model/rnn/lstm_cell/kernel"):
        np.testing.assert_array_equal(old.get_variable_value(name), kernel)
        np.testing.assert_array_equal(new.get_variable_value(name), kernel)
    assert old.evaluate(sequences)["loss"] == new.evaluate(sequences)["loss"]
    old.train(sequences, steps=2)
    new.train(sequences, steps=2)
    names = new.get_variable_names()
    assert old.get_variable_names() == sorted(without_cell(name) for name in names)
    assert "training/Adagrad/rnn_model/rnn/kernel/accumulator" in old.get_variable_names()
    for name in names:
        np.testing.assert_allclose(old.get_variable_value(name), new.get_variable_value(name), rtol=1e-6)
    receiver = est.export.build_parsing_serving_input_receiver_fn({"p": tf.io.VarLenFeature(tf.float32)})
    assert tf.saved_model.contains_saved_model(old.export_saved_model(str(tmp_path / "export"), receiver).decode())


def test_either_name_is_found_under_the_other() -> None:
    short, long = "rnn_model/rnn/bias", "rnn_model/rnn/gru_cell/bias"
    assert stored_name(short, [long]) == long
    assert stored_name(long, [short]) == short
    assert stored_name(long, [short, long]) == long
    assert stored_name("rnn_model/rnn/biases", [long]) == "rnn_model/rnn/biases"
    assert stored_name("other", [long]) == "other"
