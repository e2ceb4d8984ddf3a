"""Columns called what no parameter of Python can be called, or alike: they are trained, exported, loaded and asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from app.digest import directory_digest
from app.serving.decode import Decoder
from app.serving.predictor.loaded_model import Loaded
from app.serving.protocol import Form
from tf_estimator.export.input_names import input_names

NUMBERS = ["class", "self", "lambda", "None", "x²", "½", "a b", "a_b", "a/b", "class_input", "words_length", "größe"]
ROWS = [{**{name: float(n + row) for n, name in enumerate(NUMBERS)}, "words": ["u", "v"][row:]} for row in (0, 1)]


def test_input_keeps_its_name_where_an_export_can_be_loaded_with_it() -> None:
    assert input_names(["a", "a b", "_id", "1st", "größe", "match"]) == {
        name: name for name in ("a", "a b", "_id", "1st", "größe", "match")
    }


@pytest.mark.parametrize(
    ("names", "made"),
    [
        (["class", "self", "None"], ["class_input", "self_input", "None_input"]),
        (["class", "class_input"], ["class_input_2", "class_input"]),
        (["a b", "a_b", "a/b"], ["a b", "a_b_input", "a_b_input_2"]),
        (["x²", "½"], ["x__input", "arg___input"]),
    ],
)
def test_other_input_gets_a_name_that_no_feature_has(names: list[str], made: list[str]) -> None:
    assert list(input_names(names).values()) == made


def input_fn() -> tf.data.Dataset:
    features = {name: [[row[name]] for row in ROWS] for name in NUMBERS}
    words = tf.sparse.from_dense([["u", "v"], ["v", ""]])
    return tf.data.Dataset.from_tensor_slices(({**features, "words": words}, [0, 1])).batch(2)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, list[est.export.FeatureInfo]]:
    """A trained estimator, its export, and the features."""
    place = tmp_path_factory.mktemp("names")
    fc = tf.feature_column
    columns = [fc.numeric_column(name) for name in NUMBERS]
    columns.append(fc.categorical_column_with_vocabulary_list("words", ["u", "v"]))
    estimator = est.LinearClassifier(columns, model_dir=str(place / "model")).train(input_fn)
    infos = [est.export.FeatureInfo(name, "float32") for name in NUMBERS]
    infos.append(est.export.FeatureInfo("words", "string", sequence=True))
    est.export.export_for_serving(estimator, str(place / "export"), features=infos, examples=ROWS)
    return estimator, place / "export", infos


def test_description_says_what_each_input_is_called(exported: Any) -> None:
    _, directory, _ = exported
    features = json.loads((directory / "assets.extra" / "serving.json").read_text())["features"]
    renamed = {feature["name"]: feature["input"] for feature in features if feature["input"] != feature["name"]}
    assert renamed == {
        "class": "class_input_2",
        "self": "self_input",
        "lambda": "lambda_input",
        "None": "None_input",
        "x²": "x__input",
        "½": "arg___input",
        "a_b": "a_b_input",
        "a/b": "a_b_input_2",
    }
    assert features[-1]["length_input"] == "words_length_"
    described = {name for f in features for name in (f["input"], f["length_input"]) if name}
    signature = tf.saved_model.load(str(directory)).signatures["predict"]
    assert set(signature.structured_input_signature[1]) == described


def test_predictor_of_the_service_answers_by_the_features_names(exported: Any) -> None:
    estimator, directory, infos = exported
    # The trainer's answers and the export's for the same rows.
    assert est.export.skew_check(estimator, str(directory), ROWS, features=infos) < 1e-6
    loaded = Loaded(str(directory), directory_digest(directory), max_rows=8)
    decoder = Decoder(loaded.export, max_rows=8)
    bodies, _ = loaded.run("predict", decoder.packers["predict"].pack(decoder.rows("predict", ROWS)), [2], [Form.ROW])
    served = [row["logits"] for row in json.loads(bytes(bodies[0]))["predictions"]]
    wanted = [row["logits"] for row in estimator.predict(input_fn)]
    assert served[0] != served[1]
    np.testing.assert_allclose(served, wanted, rtol=1e-5)


def test_export_of_the_old_kind_keeps_every_name_and_is_answered_by_the_predictor(
    exported: Any, tmp_path: Path
) -> None:
    columns = [tf.feature_column.numeric_column(name) for name in ("class", "a b", "a_b")]
    features = {column.key: np.array([[1.0], [2.0]], np.float32) for column in columns}
    estimator = est.LinearRegressor(columns, model_dir=str(tmp_path / "model"))
    estimator.train(lambda: tf.data.Dataset.from_tensors((features, [[1.0], [2.0]])).repeat(3))
    receiver_fn = est.export.build_raw_serving_input_receiver_fn(
        {name: tf.TensorSpec([None, 1], tf.float32) for name in features}
    )
    path = estimator.export_saved_model(str(tmp_path / "export"), receiver_fn)
    predict = est.predictor.from_saved_model(path, "predict")
    assert set(predict.feed_tensors) == set(features)
    answer = predict(features)["predictions"]
    expected = [p["predictions"] for p in estimator.predict(lambda: tf.data.Dataset.from_tensors(features))]
    np.testing.assert_allclose(answer, expected, rtol=1e-6)
    predict.close()
