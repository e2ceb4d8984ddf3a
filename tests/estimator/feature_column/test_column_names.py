"""Columns of any name: they train, evaluate, predict and export, and have the checkpoint names of the old library."""

from __future__ import annotations

from collections.abc import Callable
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

#: Name, and what the old library made of it in most variables.
NAMES = {
    "Marital Status": "Marital_Status",
    "größe": "gr__e",
    "列": "_",
    "_id": "_id",
    "-x": "-x",
    "/x": "_x",
    "x/": "x_",
    "a/b": "a_b",
    "a>b": "a_b",
    "a\\b": "a_b",
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


def _input(key: str, values: Any) -> Callable[[], tf.data.Dataset]:
    features = {key: values, "z": WORDS, "w": NUMBERS}
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


@pytest.mark.parametrize("kind", KINDS)
def test_linear_column_of_each_kind_works(tmp_path: Path, kind: str) -> None:
    key = "Marital Status"
    make, values, suffix = KINDS[kind]
    column = make(key, tmp_path)
    estimator = est.LinearClassifier([column], model_dir=str(tmp_path / "m"), optimizer="SGD")
    (name,) = _run(estimator, _input(key, values), [column], tmp_path)
    # A crossed column is called after its keys in their order.
    column_name = NAMES[key] + suffix if suffix is not None else "_X_".join(NAMES.get(k, k) for k in sorted([key, "z"]))
    assert name == f"linear/linear_model/{column_name}/weights"


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in {"numeric", "bucketized"}])
def test_embedding_and_indicator_of_each_kind_work(tmp_path: Path, kind: str) -> None:
    key = "größe"
    make, values, _ = KINDS[kind]
    columns = [fc.embedding_column(make(key, tmp_path), 2), fc.indicator_column(make(key, tmp_path))]
    estimator = est.DNNClassifier([2], columns, model_dir=str(tmp_path / "m"), optimizer="SGD")
    (name,) = _run(estimator, _input(key, values), columns, tmp_path)
    assert name.startswith("dnn/input_from_feature_columns/input_layer/")


@pytest.mark.parametrize("key", NAMES)
def test_any_name_has_the_old_librarys_variables(tmp_path: Path, key: str) -> None:
    columns = [fc.embedding_column(_hashed(key), 2)]
    combined: dict[str, Any] = {
        "linear_feature_columns": [_hashed(key)],
        "dnn_feature_columns": columns,
        "dnn_hidden_units": [2],
    }
    both = [_hashed(key), *columns]
    for kind, directory in ((est.DNNLinearCombinedClassifier, "v2"), (est.v1.DNNLinearCombinedClassifier, "v1")):
        estimator = kind(**combined, model_dir=str(tmp_path / directory))
        names = _run(estimator, _input(key, WORDS), both, tmp_path / directory)
        # The network of v2 kept / and >; names that it could not train get what the other layers make of them.
        kept = key if key in {"/x", "x/", "a/b", "a>b"} and directory == "v2" else NAMES[key]
        assert names == [
            f"dnn/input_from_feature_columns/input_layer/{kept}_embedding/embedding_weights",
            f"linear/linear_model/{NAMES[key]}/weights",
        ]


@pytest.mark.parametrize("key", ["Marital Status", "a/b", "größe"])
def test_recurrent_columns_work(tmp_path: Path, key: str) -> None:
    steps = fc.embedding_column(fc.sequence_categorical_column_with_hash_bucket(key, 10), 2)
    context = fc.embedding_column(_hashed(f"{key}2"), 2)
    estimator = est.experimental.RNNClassifier([steps], [context], units=[2], model_dir=str(tmp_path / "m"))

    def input_fn() -> tf.data.Dataset:
        rows = tf.data.Dataset.from_tensor_slices(({key: WORDS[:, None], f"{key}2": WORDS}, LABELS)).batch(2)
        return rows.map(lambda f, y: ({key: tf.sparse.from_dense(f[key]), f"{key}2": f[f"{key}2"]}, y))

    names = _run(estimator, input_fn, [steps, context], tmp_path)
    assert names == [
        f"dense_features/{NAMES[key]}2_embedding/embedding_weights",
        f"sequence_features/{NAMES[key]}_embedding/embedding_weights",
    ]


def _shared(key: str) -> list[Any]:
    with tf.Graph().as_default():
        return list(fc.shared_embeddings([_hashed(key), _hashed("z")], 2))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("a/b", "a/b_z_shared_embedding"),
        ("größe", "gr__e_z_shared_embedding"),
        ("_id", "private_id_z_shared_embedding"),
    ],
)
def test_shared_embedding_works(tmp_path: Path, key: str, name: str) -> None:
    columns = _shared(key)
    estimator = est.DNNClassifier([2], columns, model_dir=str(tmp_path / "m"))
    _run(estimator, _input(key, WORDS), columns, tmp_path)
    (found,) = (n for n in estimator.get_variable_names() if "shared" in n)
    assert found == name


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
