"""Exports that need no receiver function: raw features, examples, serving.json, skew."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

import tf_estimator as est
from app.protocols.tfs_schema import PUBLIC
from tests.estimator import small_model
from tf_estimator import export
from tf_estimator.export import feature, rows

v1 = tf.compat.v1
MISSING_WORD = {"policy": "empty", "value": ""}
FEATURES = [
    export.FeatureInfo("x", "float32", (2,), minimum=-3.0, maximum=3.0),
    export.FeatureInfo("w", "string", missing=MISSING_WORD, vocabulary=["a", "b", "c"]),
]
EXAMPLES = [{"x": [0.5, -1.0], "w": "a"}, {"x": [0.0, 2.0], "w": None}]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return small_model.make(tmp_path_factory.mktemp("trained")).train(small_model.endless_input_fn, steps=20)


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    directory = tmp_path_factory.mktemp("export") / "model"
    content = export.export_for_serving(trained, str(directory), features=FEATURES, examples=EXAMPLES)
    return directory, content


def test_serving_json_describes_features_signatures_and_examples(written):
    directory, content = written
    assert json.loads((directory / "assets.extra" / "serving.json").read_text()) == content
    assert content["format"] == 1
    assert content["estimator"] == "Estimator"
    assert content["tensorflow"] == tf.__version__
    assert content["global_step"] == 20
    assert content["examples"] == EXAMPLES
    assert content["packed"] is None
    assert content["features"][1] == {
        "name": "w",
        "input": "w",
        "dtype": "string",
        "shape": [],
        "sequence": False,
        "length_input": None,
        "missing": MISSING_WORD,
        "vocabulary": ["a", "b", "c"],
        "min": None,
        "max": None,
    }
    logits = {"name": "logits", "dtype": "float32", "shape": [None, 3]}
    predict = [{"name": "class_ids", "dtype": "int64", "shape": [None]}, logits]
    assert content["signatures"] == {
        "serving_default": {"method": "predict", "input": "features", "outputs": predict},
        "predict": {"method": "predict", "input": "features", "outputs": predict},
        "classification": {
            "method": "classify",
            "input": "features",
            "outputs": [{"name": "scores", "dtype": "float32", "shape": [None, 3]}],
        },
        "regression": {
            "method": "regress",
            "input": "features",
            "outputs": [{"name": "outputs", "dtype": "float32", "shape": [None, 1]}],
        },
        "examples": {"method": "predict", "input": "examples", "outputs": predict},
    }


def test_export_for_serving_answers_raw_features_and_examples_alike(trained, written):
    directory, _ = written
    features, _ = small_model.arrays()
    signatures = tf.saved_model.load(str(directory)).signatures
    raw = signatures["serving_default"](**{name: tf.constant(values) for name, values in features.items()})
    parsed = signatures["examples"](examples=tf.constant(small_model.serialized(features)))
    wanted = np.array([row["logits"] for row in trained.predict(small_model.input_fn)])
    np.testing.assert_allclose(raw["logits"], wanted, rtol=1e-6)
    np.testing.assert_allclose(parsed["logits"], wanted, rtol=1e-6)


def test_export_for_serving_is_called_by_the_raw_operation(written):
    directory, content = written
    loaded = tf.saved_model.load(str(directory))
    function = loaded.signatures["serving_default"]
    names = sorted(info["name"] for info in content["features"])
    # The arguments of the raw call stand in the order of the inputs' names.
    assert [tensor.name.partition(":")[0] for tensor in function.inputs[: len(names)]] == names
    inputs = rows.arrays(EXAMPLES, FEATURES)
    arguments = [tf.constant(inputs[name]) for name in names]
    types = [tensor.dtype for tensor in function.outputs]
    answers = tf.raw_ops.StatefulPartitionedCall(args=arguments + function.captured_inputs, Tout=types, f=function)
    ordinary = function(**dict(zip(names, arguments, strict=True)))
    # And its results in the order of the structured outputs, flattened.
    for name, answer in zip(sorted(ordinary), answers, strict=True):
        np.testing.assert_array_equal(answer, ordinary[name])


def test_examples_are_warm_up_requests_of_tensorflow_serving(written):
    path = written[0] / "assets.extra" / "tf_serving_warmup_requests"
    message = PUBLIC.message("tensorflow.serving.PredictionLog")
    logs = [message.FromString(data.numpy()) for data in tf.data.TFRecordDataset(str(path))]
    requests = [log.predict_log.request for log in logs]
    # All that take raw features.
    wanted = ["serving_default", "predict", "classification", "regression"]
    assert sorted(request.model_spec.signature_name for request in requests) == sorted(wanted)
    for request in requests:
        tensors = {
            name: tf.make_ndarray(TensorProto.FromString(proto.SerializeToString())).tolist()
            for name, proto in request.inputs.items()
        }
        assert tensors == {"x": [[0.5, -1.0], [0.0, 2.0]], "w": [b"a", b""]}


def test_example_without_a_value_takes_its_replacement(written):
    directory, _ = written
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.extend([0.0, 2.0])
    signatures = tf.saved_model.load(str(directory)).signatures
    parsed = signatures["examples"](examples=tf.constant([example.SerializeToString()]))
    raw = signatures["predict"](x=tf.constant([[0.0, 2.0]]), w=tf.constant([""]))
    np.testing.assert_array_equal(parsed["logits"], raw["logits"])


def test_skew_of_a_fresh_export_is_nothing(trained, written):
    assert export.skew_check(trained, str(written[0]), EXAMPLES, features=FEATURES) < 1e-6


def test_skew_of_another_checkpoint_is_found(trained, written, tmp_path):
    path = f"{trained.model_dir}/model.ckpt-0"
    directory = str(tmp_path / "old")
    export.export_for_serving(trained, directory, features=FEATURES, checkpoint_path=path)
    assert [file.name for file in (tmp_path / "old" / "assets.extra").iterdir()] == ["serving.json"]  # no example rows
    now = [row["logits"] for row in trained.predict(lambda: tf.data.Dataset.from_tensors(_tensors()))]
    then = [
        row["logits"] for row in trained.predict(lambda: tf.data.Dataset.from_tensors(_tensors()), checkpoint_path=path)
    ]
    skew = export.skew_check(trained, directory, EXAMPLES, features=FEATURES)
    assert skew >= np.abs(np.array(now) - np.array(then)).max() - 1e-6 > 0.01


def _tensors():
    return {name: tf.constant(array) for name, array in rows.arrays(EXAMPLES, FEATURES).items()}


def test_export_for_serving_into_a_full_directory_raises(trained, written):
    before = sorted(path.name for path in written[0].iterdir())
    with pytest.raises(FileExistsError, match="not empty"):
        export.export_for_serving(trained, str(written[0]), features=FEATURES)
    assert sorted(path.name for path in written[0].iterdir()) == before


def test_export_for_serving_that_fails_leaves_nothing(trained, tmp_path):
    wrong = [export.FeatureInfo("x", "float32", (5,)), FEATURES[1]]
    with pytest.raises(ValueError, match="must be equal"):
        export.export_for_serving(trained, str(tmp_path / "model"), features=wrong)
    assert list(tmp_path.iterdir()) == []


def test_export_for_serving_without_features_raises(trained, tmp_path):
    with pytest.raises(ValueError, match="pass features="):
        export.export_for_serving(trained, str(tmp_path / "model"))
    with pytest.raises(ValueError, match="different names"):
        export.export_for_serving(trained, str(tmp_path / "model"), features=[FEATURES[0], FEATURES[0]])


def test_feature_of_an_unknown_dtype_raises():
    with pytest.raises(ValueError, match="must be one of"):
        export.FeatureInfo("x", "float64")


# Sequences


def sequence_model_fn(features, labels, mode):
    """Sums each row's numbers, and counts its words."""
    scale = v1.get_variable("scale", [], initializer=v1.constant_initializer(2.0))
    words = tf.sparse.reduce_sum(
        tf.SparseTensor(features["w"].indices, tf.ones_like(features["w"].indices[:, 0]), features["w"].dense_shape), 1
    )
    predictions = {"sum": tf.sparse.reduce_sum(features["s"], 1) * scale, "words": words}
    if mode == est.ModeKeys.PREDICT:
        return est.EstimatorSpec(mode, predictions=predictions)
    train_op = v1.train.get_global_step().assign_add(1)
    return est.EstimatorSpec(mode, predictions=predictions, loss=tf.reduce_sum(predictions["sum"]), train_op=train_op)


SEQUENCES = [
    export.FeatureInfo("s", "float32", (2,), sequence=True),
    export.FeatureInfo("w", "string", sequence=True),
]
SEQUENCE_ROWS = [{"s": [[1.0, 2.0], [3.0, 4.0]], "w": ["a"]}, {"s": [], "w": ["b", "c", ""]}, {"w": None}]


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sequences")

    def input_fn():
        s, w = tf.sparse.from_dense([[1.0, 2.0]]), tf.sparse.from_dense([["a"]])
        return tf.data.Dataset.from_tensors(({"s": s, "w": w}, 0))

    estimator = est.Estimator(sequence_model_fn, model_dir=str(directory / "model")).train(input_fn, steps=1)
    content = export.export_for_serving(estimator, str(directory / "out"), features=SEQUENCES, examples=SEQUENCE_ROWS)
    return estimator, directory / "out", content


def test_sequences_are_padded_inputs_with_lengths(sequences):
    _, directory, content = sequences
    assert [info["length_input"] for info in content["features"]] == ["s_length", "w_length"]
    inputs = rows.arrays(SEQUENCE_ROWS, SEQUENCES)
    assert inputs["s"].shape == (3, 2, 2)
    np.testing.assert_array_equal(inputs["s_length"], [2, 0, 0])
    signature = tf.saved_model.load(str(directory)).signatures["serving_default"]
    answer = signature(**{name: tf.constant(values) for name, values in inputs.items()})
    # (1 + 2 + 3 + 4) * 2; an empty word counts, padding does not.
    np.testing.assert_array_equal(answer["sum"], [20.0, 0.0, 0.0])
    np.testing.assert_array_equal(answer["words"], [1, 3, 0])


def test_sequences_in_examples_have_the_length_of_their_list(sequences):
    _, directory, _ = sequences
    first, second = tf.train.Example(), tf.train.Example()
    first.features.feature["s"].float_list.value.extend([1.0, 2.0, 0.0, 0.0])
    second.features.feature["w"].bytes_list.value.extend([b"a", b""])
    examples = tf.constant([first.SerializeToString(), second.SerializeToString()])
    answer = tf.saved_model.load(str(directory)).signatures["examples"](examples=examples)
    np.testing.assert_array_equal(answer["sum"], [6.0, 0.0])
    np.testing.assert_array_equal(answer["words"], [0, 2])


def test_skew_of_sequences_is_nothing(sequences):
    estimator, directory, _ = sequences
    assert export.skew_check(estimator, str(directory), SEQUENCE_ROWS, features=SEQUENCES) == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"w": "a"}, "Row 0 has no value for feature 'x'"),
        ({"x": ["a", "b"], "w": "a"}, "takes float32 values"),
        ({"x": [1, 2, 3], "w": "a"}, r"of shape \(2,\)"),
    ],
)
def test_row_that_does_not_fit_raises(row, message):
    with pytest.raises(ValueError, match=message):
        rows.arrays([row], FEATURES)


def test_sequence_step_that_does_not_fit_raises():
    with pytest.raises(ValueError, match="takes lists of float32"):
        rows.arrays([{"s": [[1.0, 2.0, 3.0]], "w": []}], SEQUENCES)


def test_features_come_from_feature_columns():
    columns = [
        tf.feature_column.numeric_column("x", shape=(2,), default_value=1.5),
        tf.feature_column.indicator_column(tf.feature_column.categorical_column_with_identity("k", 4)),
        tf.feature_column.embedding_column(
            tf.feature_column.sequence_categorical_column_with_hash_bucket("tokens", 10), 2
        ),
        tf.feature_column.sequence_numeric_column("s"),
        tf.feature_column.crossed_column(["a", "b"], 10),
    ]
    found = {info.name: info for info in feature.from_columns(columns[:4])}
    assert found["x"] == export.FeatureInfo("x", "float32", (2,), missing={"policy": "constant", "value": [1.5, 1.5]})
    assert found["k"] == export.FeatureInfo("k", "int64", missing={"policy": "empty", "value": -1})
    empty = {"policy": "empty", "value": []}
    assert found["tokens"] == export.FeatureInfo("tokens", "string", sequence=True, missing=empty)
    assert found["s"] == export.FeatureInfo("s", "float32", sequence=True, missing=empty)
    crossed = {info.name: info.dtype for info in feature.from_columns(columns[4:])}
    assert crossed == {"a": "string", "b": "string"}


def test_written_model_is_readable_by_other_users(written):
    assert Path(written[0]).stat().st_mode & 0o777 == 0o755
