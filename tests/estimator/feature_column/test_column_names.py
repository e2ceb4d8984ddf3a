"""Columns of any name: they train, evaluate, predict and export, and have the checkpoint names of the old library."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est

fc = tf.feature_column
WORDS = np.array(["a", "b", "a", "b"])
NUMBERS = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
IDS = np.array([1, 2, 3, 1])
LABELS = np.array([0, 1, 0, 1])

#: Name, and what the old library made of it in most variables. No two became one: all are in one model.
NAMES = {
    "Marital Status": "Marital_Status",
    "größe": "gr__e",
    "列": "_",
    "_id": "_id",
    "-x": "-x",
    "/x": "_x",
    "x/": "x_",
    "a/b": "a_b",
    "c>d": "c_d",
    "e\\f": "e_f",
    "x (m) & 'y', [z] 5% #1 +:": "x__m_____y____z__5___1___",
}


def _hashed(key: str) -> Any:
    return fc.categorical_column_with_hash_bucket(key, 10)


def _vocabulary_file(key: str, directory: Path) -> Any:
    path = directory / "words.txt"
    path.write_text("a\nb\n")
    return fc.categorical_column_with_vocabulary_file(key, str(path))


#: Kind → (column of a key, its features, what follows the key in the column's name).
KINDS: dict[str, tuple[Callable[[str, Path], Any], Any, str]] = {
    "numeric": (lambda key, _: fc.numeric_column(key), NUMBERS, ""),
    "bucketized": (lambda key, _: fc.bucketized_column(fc.numeric_column(key), [2.0]), NUMBERS, "_bucketized"),
    "identity": (lambda key, _: fc.categorical_column_with_identity(key, 10), IDS, ""),
    "hash": (lambda key, _: _hashed(key), WORDS, ""),
    "list": (lambda key, _: fc.categorical_column_with_vocabulary_list(key, ["a", "b"]), WORDS, ""),
    "file": (_vocabulary_file, WORDS, ""),
    "weighted": (lambda key, _: fc.weighted_categorical_column(_hashed(key), "w"), WORDS, "_weighted_by_w"),
    "crossed": (lambda key, _: fc.crossed_column([key, "z"], 10), WORDS, None),
}


def _input(features: dict[str, Any]) -> Callable[[], tf.data.Dataset]:
    features = {"z": WORDS, "w": NUMBERS} | features
    return lambda: tf.data.Dataset.from_tensor_slices((features, LABELS)).batch(2)


def _run(estimator: Any, input_fn: Any, columns: list[Any], directory: Path) -> list[str]:
    """Trains, evaluates, predicts, exports and asks the export; names of the variables."""
    estimator.train(input_fn)
    assert estimator.evaluate(input_fn)["global_step"] == 2
    predicted = [float(p["logits"][0]) for p in estimator.predict(input_fn)]
    receiver = est.export.build_parsing_serving_input_receiver_fn(fc.make_parse_example_spec(columns))
    path = estimator.export_saved_model(str(directory / "export"), receiver).decode()
    assert len(predicted) == len(LABELS)
    assert "predict" in tf.saved_model.load(path).signatures
    return [name for name in estimator.get_variable_names() if name.endswith(("/weights", "/embedding_weights"))]


def _plain(key: str) -> str:
    """The key as variables have it: signs and letters that no scope takes become `_`."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", key)


def _column_name(key: str, suffix: str | None) -> str:
    """What the column of `KINDS` is called in its variables: a crossed one after its keys in their order."""
    return _plain(key) + suffix if suffix is not None else "_X_".join(_plain(k) for k in sorted([key, "z"]))


def _of_each_kind(key: str, kinds: Iterable[str], directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A column and the values of each kind, in one model: a graph for each would take most of the time."""
    made = {f"{key} {kind}": KINDS[kind] for kind in kinds}
    columns = {name: make(name, directory) for name, (make, _, _) in made.items()}
    return columns, {name: values for name, (_, values, _) in made.items()}


def test_linear_column_of_each_kind_works(tmp_path: Path) -> None:
    columns, features = _of_each_kind("Marital Status", KINDS, tmp_path)
    estimator = est.LinearClassifier([*columns.values()], model_dir=str(tmp_path / "m"), optimizer="SGD")
    names = _run(estimator, _input(features), [*columns.values()], tmp_path)
    wanted = (_column_name(f"Marital Status {kind}", suffix) for kind, (_, _, suffix) in KINDS.items())
    assert sorted(names) == sorted(f"linear/linear_model/{name}/weights" for name in wanted)


def test_embedding_and_indicator_of_each_kind_work(tmp_path: Path) -> None:
    kinds = [kind for kind in KINDS if kind not in {"numeric", "bucketized"}]
    made, features = _of_each_kind("größe", kinds, tmp_path)
    columns = [wrapped for one in made.values() for wrapped in (fc.embedding_column(one, 2), fc.indicator_column(one))]
    estimator = est.DNNClassifier([2], columns, model_dir=str(tmp_path / "m"), optimizer="SGD")
    names = _run(estimator, _input(features), columns, tmp_path)
    wanted = (_column_name(f"größe {kind}", KINDS[kind][2]) for kind in kinds)
    scope = "dnn/input_from_feature_columns/input_layer"
    assert sorted(names) == sorted(f"{scope}/{name}_embedding/embedding_weights" for name in wanted)


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_any_name_has_the_old_librarys_variables(tmp_path: Path, api: str) -> None:
    keys = list(NAMES)
    hashed = [_hashed(key) for key in keys]
    embedded = [fc.embedding_column(column, 2) for column in hashed]
    kind = est.DNNLinearCombinedClassifier if api == "v2" else est.v1.DNNLinearCombinedClassifier
    estimator = kind(
        linear_feature_columns=hashed,
        dnn_feature_columns=embedded,
        dnn_hidden_units=[2],
        model_dir=str(tmp_path / "m"),
    )
    names = _run(estimator, _input(dict.fromkeys(keys, WORDS)), [*hashed, *embedded], tmp_path)
    # The network of v2 kept / and >; names that it could not train get what the other layers make of them.
    kept = {key: key if key in {"/x", "x/", "a/b", "c>d"} and api == "v2" else NAMES[key] for key in keys}
    scope = "dnn/input_from_feature_columns/input_layer"
    wanted = [f"{scope}/{kept[key]}_embedding/embedding_weights" for key in keys]
    assert sorted(names) == sorted([*wanted, *(f"linear/linear_model/{NAMES[key]}/weights" for key in keys)])


def test_recurrent_columns_work(tmp_path: Path) -> None:
    keys = ["Marital Status", "a/b", "größe"]
    steps = [fc.embedding_column(fc.sequence_categorical_column_with_hash_bucket(key, 10), 2) for key in keys]
    context = [fc.embedding_column(_hashed(f"{key}2"), 2) for key in keys]
    estimator = est.experimental.RNNClassifier(steps, context, units=[2], model_dir=str(tmp_path / "m"))

    def input_fn() -> tf.data.Dataset:
        features = dict.fromkeys(keys, WORDS[:, None]) | {f"{key}2": WORDS for key in keys}
        rows = tf.data.Dataset.from_tensor_slices((features, LABELS)).batch(2)
        return rows.map(lambda f, y: (f | {key: tf.sparse.from_dense(f[key]) for key in keys}, y))

    names = _run(estimator, input_fn, [*steps, *context], tmp_path)
    wanted = [f"dense_features/{NAMES[key]}2_embedding/embedding_weights" for key in keys]
    wanted += [f"sequence_features/{NAMES[key]}_embedding/embedding_weights" for key in keys]
    assert sorted(names) == sorted(wanted)


def test_shared_embedding_works(tmp_path: Path) -> None:
    keys = ["a/b", "größe", "_id"]
    with tf.Graph().as_default():
        columns = [column for key in keys for column in fc.shared_embeddings([_hashed(key), _hashed(f"z{key[-1]}")], 2)]
    estimator = est.DNNClassifier([2], columns, model_dir=str(tmp_path / "m"))
    features = {name: WORDS for key in keys for name in (key, f"z{key[-1]}")}
    _run(estimator, _input(features), columns, tmp_path)
    found = [n for n in estimator.get_variable_names() if "shared" in n]
    assert sorted(found) == [
        "a/b_zb_shared_embedding",
        "gr__e_ze_shared_embedding",
        "private_id_zd_shared_embedding",
    ]


def test_two_names_that_become_one_stay_two_variables(tmp_path: Path) -> None:
    features = {"a b": WORDS, "a_b": WORDS[::-1].copy()}

    def input_fn() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((features, LABELS)).batch(4).repeat(20)

    columns = [_hashed("a_b"), fc.categorical_column_with_hash_bucket("a b", 7)]
    linear = est.LinearClassifier(columns, model_dir=str(tmp_path / "l"), optimizer="SGD").train(input_fn)
    # In the order of the columns' names, where the blank comes first.
    assert linear.get_variable_value("linear/linear_model/a_b/weights").shape == (7, 1)
    assert linear.get_variable_value("linear/linear_model/a_b_1/weights").shape == (10, 1)
    embedded = [fc.embedding_column(column, 2) for column in columns]
    network = est.DNNClassifier([2], embedded, model_dir=str(tmp_path / "d")).train(input_fn)
    scope = "dnn/input_from_feature_columns/input_layer"
    assert network.get_variable_value(f"{scope}/a_b_embedding/embedding_weights").shape == (7, 2)
    assert network.get_variable_value(f"{scope}/a_b_embedding_1/embedding_weights").shape == (10, 2)


def test_names_that_become_one_keep_their_variables_in_any_input(tmp_path: Path) -> None:
    """Scalars are stacked before columns of other shapes; the names do not depend on that order."""
    columns = [fc.numeric_column("a b"), fc.numeric_column("a_b")]
    estimator = est.LinearRegressor(columns, model_dir=str(tmp_path))
    x, y = np.array([1.0, 2.0, 3.0, 4.0], np.float32), np.array([4.0, 3.0, 1.0, 2.0], np.float32)

    def input_fn(wide: str) -> Any:
        features = {"a b": x, "a_b": y}
        features[wide] = features[wide][:, None]
        target = (2 * x - y)[:, None]
        return lambda: tf.data.Dataset.from_tensor_slices((features, target)).batch(4).repeat(50)

    estimator.train(input_fn("a b"))
    loss = estimator.evaluate(input_fn("a b"), steps=1)["loss"]
    assert estimator.evaluate(input_fn("a_b"), steps=1)["loss"] == pytest.approx(loss)
