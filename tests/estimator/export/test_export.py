"""SavedModels of all modes: what is in them, that every loader reads them, and the documented errors."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator import small_model
from tf_estimator import export
from tf_estimator.export import saved_model

v1 = tf.compat.v1
PREDICT, TRAIN, EVAL = est.ModeKeys.PREDICT, est.ModeKeys.TRAIN, est.ModeKeys.EVAL


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    estimator = small_model.make(tmp_path_factory.mktemp("trained"))
    return estimator.train(small_model.endless_input_fn, steps=20)


@pytest.fixture(scope="module")
def supervised():
    features, labels = small_model.arrays()
    with tf.Graph().as_default():
        tensors = {name: tf.constant(values[:1]) for name, values in features.items()}
        return export.build_raw_supervised_input_receiver_fn(tensors, tf.constant(labels[:1]))


parsing = export.build_parsing_serving_input_receiver_fn(small_model.FEATURE_SPEC)


@pytest.fixture(scope="module")
def all_modes(trained, supervised, tmp_path_factory):
    receivers = {TRAIN: supervised, EVAL: supervised, PREDICT: parsing}
    return saved_model.export(trained, str(tmp_path_factory.mktemp("all")), receivers).decode()


def expected(estimator, key):
    return np.array([row[key] for row in estimator.predict(small_model.input_fn)])


def test_export_answers_as_predict_does(trained, all_modes):
    features, _ = small_model.arrays()
    signatures = tf.saved_model.load(all_modes, tags="serve").signatures
    answer = signatures["predict"](examples=tf.constant(small_model.serialized(features)))
    np.testing.assert_allclose(answer["logits"], expected(trained, "logits"), rtol=1e-6)
    np.testing.assert_array_equal(answer["class_ids"], expected(trained, "class_ids"))


def test_export_names_signatures_as_the_head_does(all_modes):
    signatures = tf.saved_model.load(all_modes, tags="serve").signatures
    outputs = {name: sorted(signature.structured_outputs) for name, signature in signatures.items()}
    assert outputs == {
        "serving_default": ["scores"],
        "classification": ["scores"],
        "regression": ["outputs"],
        "predict": ["class_ids", "logits"],
    }
    # Classification and regression call their input `inputs`, prediction keeps the receiver's name.
    assert list(signatures["serving_default"].structured_input_signature[1]) == ["inputs"]
    assert list(signatures["predict"].structured_input_signature[1]) == ["examples"]


@pytest.mark.parametrize(
    ("tag", "names"),
    [
        ("train", ["loss", "predictions/class_ids", "predictions/logits"]),
        (
            "eval",
            [
                "loss",
                "metrics/accuracy/update_op",
                "metrics/accuracy/value",
                "predictions/class_ids",
                "predictions/logits",
            ],
        ),
    ],
)
def test_export_of_supervised_modes_gives_loss_predictions_and_metrics(all_modes, tag, names):
    features, labels = small_model.arrays()
    signature = tf.saved_model.load(all_modes, tags=tag).signatures[tag]
    assert sorted(signature.structured_outputs) == names
    fed = {name: tf.constant(values) for name, values in features.items()}
    assert np.isfinite(signature(**fed, label=tf.constant(labels))["loss"])


def test_export_trains_on_in_a_v1_session(all_modes):
    features, labels = small_model.arrays()
    with tf.Graph().as_default() as graph, v1.Session() as session:
        meta_graph = v1.saved_model.load(session, ["train"], all_modes)
        assert meta_graph.signature_def["train"].method_name == "tensorflow/supervised/training"
        (train_op,) = graph.get_collection("saved_model_train_op")
        inputs = meta_graph.signature_def["train"].inputs
        feed = {inputs[name].name: values for name, values in {**features, "label": labels}.items()}
        loss = meta_graph.signature_def["train"].outputs["loss"].name
        losses = [session.run([loss, train_op], feed)[0] for _ in range(10)]
        assert losses[-1] < losses[0]
        assert session.run(v1.train.get_global_step(graph)) == 30


def test_export_saves_one_set_of_variables_and_its_assets(all_modes):
    directory = Path(all_modes)
    assert directory.name.isdigit()
    assert sorted(path.name for path in (directory / "variables").iterdir()) == [
        "variables.data-00000-of-00001",
        "variables.index",
    ]
    assert (directory / "assets" / "words.txt").read_text() == "a\nb\nc\n"


def test_export_reads_its_vocabulary_from_the_copied_asset(trained, tmp_path):
    moved = tmp_path / "moved"
    Path(saved_model.export(trained, str(tmp_path), {PREDICT: parsing}).decode()).rename(moved)
    (moved / "assets" / "words.txt").write_text("c\nb\na\n")
    words = {"x": np.zeros((2, 2), np.float32), "w": np.array([b"a", b"c"])}
    answer = tf.saved_model.load(str(moved)).signatures["predict"](examples=tf.constant(small_model.serialized(words)))
    kernel = trained.get_variable_value("small/words")
    # The file now has a in line 2 and c in line 0.
    np.testing.assert_allclose(answer["logits"], kernel[[2, 0]], rtol=1e-6)


def test_export_as_text_loads(trained, tmp_path):
    path = saved_model.export(trained, str(tmp_path), {PREDICT: parsing}, as_text=True).decode()
    assert (Path(path) / "saved_model.pbtxt").is_file()
    assert not (Path(path) / "saved_model.pb").exists()
    assert "predict" in tf.saved_model.load(path).signatures


def test_export_of_a_given_checkpoint_uses_its_values(tmp_path):
    estimator = small_model.make(tmp_path, save_checkpoints_steps=5)
    estimator.train(small_model.endless_input_fn, steps=10)
    path = f"{estimator.model_dir}/model.ckpt-5"
    directory = saved_model.export(estimator, str(tmp_path / "out"), {PREDICT: parsing}, checkpoint_path=path)
    reader = tf.train.load_checkpoint(f"{directory.decode()}/variables/variables")
    assert reader.get_tensor("global_step") == 5
    np.testing.assert_array_equal(
        reader.get_tensor("small/kernel"), tf.train.load_checkpoint(path).get_tensor("small/kernel")
    )


def test_export_of_keras_layers_restores_them_by_their_names(tmp_path):
    def keras_model_fn(features, labels, mode):
        logits = tf.keras.Sequential([tf.keras.layers.Dense(3), tf.keras.layers.Dense(1)])(features["x"])
        loss = None if labels is None else tf.reduce_mean((logits[:, 0] - tf.cast(labels, tf.float32)) ** 2)
        train_op = v1.train.get_global_step().assign_add(1)
        return est.EstimatorSpec(mode, predictions=logits, loss=loss, train_op=train_op)

    estimator = est.Estimator(keras_model_fn, model_dir=str(tmp_path / "model"))
    estimator.train(small_model.input_fn, steps=1)
    raw = export.build_raw_serving_input_receiver_fn({"x": tf.zeros([1, 2])})
    path = saved_model.export(estimator, str(tmp_path), {PREDICT: raw}).decode()
    answer = tf.saved_model.load(path).signatures["serving_default"](x=tf.constant(small_model.arrays()[0]["x"]))
    np.testing.assert_allclose(answer["output"], np.array(list(estimator.predict(small_model.input_fn))), rtol=1e-5)


def operations(path, tag):
    """Kinds of the operations of a MetaGraph, those in its functions included."""
    with tf.Graph().as_default(), v1.Session() as session:
        graph_def = v1.saved_model.load(session, [tag], path).graph_def
    inner = [node.op for function in graph_def.library.function for node in function.node_def]
    return {node.op for node in graph_def.node} | set(inner)


@pytest.mark.parametrize("as_text", [False, True])
def test_export_for_inference_holds_only_what_answers(trained, tmp_path, supervised, as_text):
    @tf.function
    def unused(x):
        return tf.exp(x)

    def chatty(features, labels, mode, params):
        spec = small_model.model_fn(features, labels, mode, params)
        v1.summary.scalar("one", unused(tf.reduce_sum(spec.predictions["logits"])))
        v1.metrics.mean(spec.predictions["logits"])
        return spec

    estimator = est.Estimator(chatty, model_dir=trained.model_dir, params=trained.params)
    path = saved_model.export(estimator, str(tmp_path), {PREDICT: parsing, TRAIN: supervised}, as_text=as_text).decode()
    found = operations(path, "serve")
    assert not found & {"ScalarSummary", "MergeSummary", "Exp", "AssignAddVariableOp", "Sum"}
    assert {"ScalarSummary", "Exp"} <= operations(path, "train")
    features, _ = small_model.arrays()
    answer = tf.saved_model.load(path, tags="serve").signatures["predict"](
        examples=tf.constant(small_model.serialized(features))
    )
    np.testing.assert_allclose(answer["logits"], expected(trained, "logits"), rtol=1e-6)


def test_export_copies_extra_assets(trained, tmp_path):
    source = tmp_path / "source.txt"
    source.write_text("extra")
    path = saved_model.export(trained, str(tmp_path), {PREDICT: parsing}, {"a/b.txt": str(source)}).decode()
    assert (Path(path) / "assets.extra" / "a" / "b.txt").read_text() == "extra"


@pytest.mark.parametrize("destination", ["../out.txt", "/out.txt", "a/../../out.txt", ""])
def test_export_refuses_extra_assets_outside(trained, tmp_path, destination):
    source = tmp_path / "source.txt"
    source.write_text("extra")
    with pytest.raises(ValueError, match=r"inside assets\.extra"):
        saved_model.export(trained, str(tmp_path / "out"), {PREDICT: parsing}, {destination: str(source)})
    assert list((tmp_path / "out").iterdir()) == []


def test_export_within_one_second_gets_directories_of_its_own(trained, tmp_path):
    paths = {saved_model.export(trained, str(tmp_path), {PREDICT: parsing}) for _ in range(3)}
    assert len(paths) == 3
    assert all(isinstance(path, bytes) for path in paths)
    assert len(list(tmp_path.iterdir())) == 3


def test_export_that_fails_leaves_nothing(trained, tmp_path):
    with pytest.raises(ZeroDivisionError):
        saved_model.export(trained, str(tmp_path), {PREDICT: lambda: 1 / 0})
    assert list(tmp_path.iterdir()) == []


def test_export_with_raw_features_leaves_out_what_needs_examples(trained, tmp_path):
    features, _ = small_model.arrays()
    raw = export.build_raw_serving_input_receiver_fn({name: tf.constant(v) for name, v in features.items()})
    signatures = tf.saved_model.load(saved_model.export(trained, str(tmp_path), {PREDICT: raw}).decode()).signatures
    # As tf.estimator: classification and regression take one string tensor only.
    assert list(signatures) == ["predict"]
    answer = signatures["predict"](**{name: tf.constant(values) for name, values in features.items()})
    np.testing.assert_allclose(answer["logits"], expected(trained, "logits"), rtol=1e-6)


def test_export_with_alternative_receivers_gives_them_names(trained, tmp_path):
    def receiver_fn():
        receiver = parsing()
        return export.ServingInputReceiver(
            receiver.features, receiver.receiver_tensors, {"parsed": dict(receiver.features)}
        )

    signatures = tf.saved_model.load(
        saved_model.export(trained, str(tmp_path), {PREDICT: receiver_fn}).decode()
    ).signatures
    assert {"parsed:predict", "predict", "serving_default"} <= set(signatures)
    features, _ = small_model.arrays()
    answer = signatures["parsed:predict"](**{name: tf.constant(v) for name, v in features.items()})
    np.testing.assert_allclose(answer["logits"], expected(trained, "logits"), rtol=1e-6)


def test_export_without_export_outputs_serves_the_predictions(tmp_path):
    def no_outputs(features, labels, mode):
        value = v1.get_variable("value", [], initializer=v1.ones_initializer())
        loss = tf.reduce_mean(features["x"]) * value
        train_op = v1.train.get_global_step().assign_add(1)
        return est.EstimatorSpec(mode, predictions=features["x"] * value, loss=loss, train_op=train_op)

    estimator = est.Estimator(no_outputs, model_dir=str(tmp_path / "model")).train(small_model.input_fn, steps=1)
    raw = export.build_raw_serving_input_receiver_fn({"x": tf.zeros([1, 2])})
    path = saved_model.export(estimator, str(tmp_path), {PREDICT: raw}).decode()
    assert (
        float(tf.saved_model.load(path).signatures["serving_default"](x=tf.constant([[3.0, 4.0]]))["output"][0, 1]) == 4
    )


@pytest.mark.parametrize(
    ("receivers", "message"),
    [
        ({PREDICT: None}, "serving_input_receiver_fn must be defined"),
        ({TRAIN: None}, "input receiver function of 'train' must be defined"),
        ({}, "input_receiver_fn_map is empty"),
        ({"fit": parsing}, "Can't export mode 'fit'"),
        ({TRAIN: parsing}, "must return a SupervisedInputReceiver"),
    ],
)
def test_export_with_wrong_receivers_raises(trained, tmp_path, receivers, message):
    with pytest.raises(ValueError, match=message):
        saved_model.export(trained, str(tmp_path), receivers)


def test_export_of_a_supervised_receiver_for_serving_raises(trained, tmp_path, supervised):
    with pytest.raises(ValueError, match="must return a ServingInputReceiver or TensorServingInputReceiver"):
        saved_model.export(trained, str(tmp_path), {PREDICT: supervised})


def test_export_of_nothing_trained_raises(tmp_path):
    with pytest.raises(ValueError, match="Could not find a trained model"):
        saved_model.export(small_model.make(tmp_path), str(tmp_path), {PREDICT: parsing})


def test_export_of_a_missing_checkpoint_raises(trained, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.index does not exist"):
        saved_model.export(trained, str(tmp_path), {PREDICT: parsing}, checkpoint_path=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("outputs", [{}, {"a": None, "b": None}])
def test_export_without_a_default_output_raises(trained, tmp_path, outputs, monkeypatch):
    def without_default(features, labels, mode, params):
        spec = small_model.model_fn(features, labels, mode, params)
        chosen = dict.fromkeys(outputs, spec.export_outputs["predict"])
        return spec._replace(export_outputs=chosen)

    estimator = est.Estimator(without_default, model_dir=trained.model_dir, params=trained.params)
    with pytest.raises(ValueError, match="export_outputs"):
        saved_model.export(estimator, str(tmp_path), {PREDICT: parsing})
