"""model_to_estimator: a compiled Keras model trains, evaluates, predicts and exports as an Estimator."""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tf_estimator import export

keras = tf.keras


def compiled(**arguments):
    # Seeds of its own layers: those of the process are other tests' too.
    hidden, last = (keras.initializers.GlorotUniform(seed) for seed in (3, 4))
    layers = [keras.layers.Dense(3, "relu", kernel_initializer=hidden), keras.layers.Dense(1, kernel_initializer=last)]
    model = keras.Sequential([keras.layers.Input((2,), name="x"), *layers])
    model.compile(**{"optimizer": keras.optimizers.SGD(0.1), "loss": "mse", "metrics": ["mae"], **arguments})
    return model


def data():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(16, 2)).astype(np.float32)
    return x, (x[:, :1] * 2 - x[:, 1:]).astype(np.float32)


def input_fn():
    x, y = data()
    return tf.data.Dataset.from_tensor_slices(({"x": x}, y)).batch(8)


@pytest.mark.parametrize("optimizer", ["adam", "lion"])
def test_model_to_estimator_trains_as_fit_does(tmp_path, optimizer):
    # Lion runs Keras' own code, the others ours.
    model = compiled(optimizer=keras.optimizers.get({"class_name": optimizer, "config": {"learning_rate": 0.05}}))
    start = model.get_weights()
    estimator = est.model_to_estimator(model, model_dir=str(tmp_path))
    estimator.train(input_fn)
    for before, after in zip(start, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)

    x, y = data()
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    predicted = np.array([row[model.layers[-1].name] for row in estimator.predict(input_fn)])
    np.testing.assert_allclose(predicted, model.predict(x, verbose=0), rtol=2e-4, atol=1e-5)
    wanted = model.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
    result = estimator.evaluate(input_fn)
    assert result["loss"] == pytest.approx(wanted["loss"], rel=1e-3)
    assert result["mae"] == pytest.approx(wanted["mae"], rel=1e-3)
    assert result["global_step"] == 2


def test_model_to_estimator_before_training_has_the_weights(tmp_path):
    model = compiled()
    estimator = est.model_to_estimator(model, model_dir=str(tmp_path), metric_names_map={"mae": "error"})
    predicted = np.array([row[model.layers[-1].name] for row in estimator.predict(input_fn)])
    np.testing.assert_allclose(predicted, model.predict(data()[0], verbose=0), rtol=1e-5)
    assert set(estimator.evaluate(input_fn)) == {"loss", "error", "global_step"}


# Keras' writer of weights, on NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_model_to_estimator_of_a_saved_model_with_batch_norm_and_two_outputs(tmp_path):
    a, b = keras.layers.Input((2,), name="a"), keras.layers.Input((2,), name="b")
    hidden = keras.layers.BatchNormalization()(keras.layers.Concatenate()([a, b]))
    model = keras.Model([a, b], [keras.layers.Dense(1, name="one")(hidden), keras.layers.Dense(2, name="two")(hidden)])
    model.compile("adam", {"one": "mse", "two": "mse"})
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")

    def two_inputs():
        x, y = data()
        return tf.data.Dataset.from_tensors(({"a": x, "b": x + 1}, (y, np.hstack([y, y]))))

    estimator = est.model_to_estimator(
        keras_model_path=tmp_path / "model.keras", model_dir=str(tmp_path / "dir"), export_outputs={"first": "one"}
    )
    estimator.train(two_inputs, steps=1)
    names = estimator.get_variable_names()
    (moving,) = [name for name in names if name.endswith("moving_mean")]
    # One step of momentum 0.99 from 0 towards the mean of b, which is that of a plus one.
    x, _ = data()
    np.testing.assert_allclose(estimator.get_variable_value(moving)[2:], 0.01 * (x.mean(0) + 1), rtol=1e-4)

    raw = export.build_raw_serving_input_receiver_fn({"a": tf.zeros([1, 2]), "b": tf.zeros([1, 2])})
    path = estimator.export_saved_model(str(tmp_path / "out"), raw).decode()
    signatures = tf.saved_model.load(path).signatures
    answer = signatures["serving_default"](a=tf.constant(x), b=tf.constant(x + 1))
    (predicted,) = estimator.predict(two_inputs, yield_single_examples=False)
    np.testing.assert_allclose(answer["two"], predicted["two"], rtol=1e-5)
    assert sorted(signatures["first"].structured_outputs) == ["one"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: est.model_to_estimator(), "Give either"),
        (lambda: est.model_to_estimator(compiled(), "path"), "Give either"),
        (lambda: est.model_to_estimator("model"), "must be a tf.keras.Model"),
        (lambda: est.model_to_estimator(compiled(), checkpoint_format="pickle"), "checkpoint_format"),
        (lambda: est.model_to_estimator(compiled(), export_outputs={"a": "b"}), "export_outputs names"),
        (lambda: est.model_to_estimator(keras.Sequential([keras.layers.Dense(1)])), "must be compiled"),
        (lambda: est.model_to_estimator(compiled(), config={}), "must be an est.RunConfig"),
        (
            lambda: est.model_to_estimator(keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])),
            "must be compiled",
        ),
    ],
)
def test_model_to_estimator_with_wrong_arguments_raises(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_model_to_estimator_with_an_unknown_metric_name_raises(tmp_path):
    estimator = est.model_to_estimator(compiled(), model_dir=str(tmp_path), metric_names_map={"auc": "x"})
    with pytest.raises(ValueError, match="metric_names_map names"):
        estimator.evaluate(input_fn)


def identity(**arguments):
    x = keras.layers.Input((1,), name="x")
    model = keras.Model(x, keras.layers.Activation("linear")(x))
    model.compile(**{"optimizer": "sgd", "loss": "mean_absolute_error", **arguments})
    return model


def given(features, labels=None):
    return lambda: tf.data.Dataset.from_tensors(features if labels is None else (features, labels))


ROWS = np.array([[0.0], [0.0], [1.0], [1.0]], np.float32)
LABELS = np.array([[0.0], [1.0], [0.0], [1.0]], np.float32)
WEIGHTS = np.array([0.0, 0.4, 1.0, 1.0], np.float32)


@pytest.mark.parametrize("rows", [ROWS, {"x": ROWS}], ids=["tensor", "by name"])
def test_sample_weights_beside_features_weigh(rows):
    # Absolute errors 0, 1, 1, 0 with weights 0, 0.4, 1, 1: 1.4 over four rows. Metrics are unweighted: 2 / 4.
    estimator = est.model_to_estimator(identity(metrics=["mae"]))
    result = estimator.evaluate(given({"features": rows, "sample_weights": WEIGHTS}, LABELS))
    assert (result["loss"], result["mae"]) == (pytest.approx(0.35), pytest.approx(0.5))
    (predicted,) = estimator.predict(given({"features": rows, "sample_weights": WEIGHTS}), yield_single_examples=False)
    np.testing.assert_array_equal(next(iter(predicted.values())), ROWS)


def test_sample_weights_train(tmp_path):
    x = keras.layers.Input((1,), name="x")
    model = keras.Model(x, keras.layers.Dense(1, kernel_initializer="ones", use_bias=False)(x))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    estimator = est.model_to_estimator(model, model_dir=str(tmp_path))
    estimator.train(
        given({"features": np.ones([2, 1], np.float32), "sample_weights": np.float32([1, 0])}, [[0.0], [9.0]])
    )
    # loss = (1·w² + 0)/2, gradient w = 1, so w = 1 - 1; without weights it is 1 - (1 - 8) = 8.
    (name,) = [name for name in estimator.get_variable_names() if name.endswith("kernel")]
    assert estimator.get_variable_value(name).item() == pytest.approx(0.0)


def test_features_that_lack_an_input_are_a_key_error():
    estimator = est.model_to_estimator(compiled())
    rows, labels = np.ones([2, 2], np.float32), np.ones([2, 1], np.float32)
    for wrong in ("wrong", "dense_input", "input_1"):
        with pytest.raises(KeyError, match=wrong):
            estimator.evaluate(given({wrong: rows}, labels))
    assert estimator.evaluate(given({"x": rows, "wrong": rows + 1}, labels)) == estimator.evaluate(given(rows, labels))

    a, b = keras.layers.Input((1,), name="a"), keras.layers.Input((1,), name="b")
    two = keras.Model([a, b], keras.layers.Subtract()([a, b]))
    two.compile("sgd", "mse")
    with pytest.raises(KeyError, match=r"'a'\] are missing"):
        next(est.model_to_estimator(two).predict(given({"b": ROWS, "wrong": ROWS})))


def test_inputs_without_names_take_the_names_of_the_old_keras():
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    estimator = est.model_to_estimator(model)
    assert estimator.evaluate(given({"dense_input": ROWS}, ROWS))["loss"] == pytest.approx(0.0)
    with pytest.raises(KeyError):
        estimator.evaluate(given({"price": ROWS}, ROWS))


def test_an_untrained_model_exports_its_weights(tmp_path):
    model = compiled()
    estimator = est.model_to_estimator(model)
    raw = export.build_raw_serving_input_receiver_fn({"x": tf.zeros([1, 2])})
    loaded = tf.saved_model.load(estimator.export_saved_model(str(tmp_path), raw).decode())
    (answer,) = loaded.signatures["serving_default"](x=tf.constant(data()[0])).values()
    np.testing.assert_allclose(answer, model.predict(data()[0], verbose=0), rtol=1e-5)
    assert estimator.latest_checkpoint() is None


def test_checkpoints_hold_no_metrics(tmp_path):
    estimator = est.model_to_estimator(compiled(), model_dir=str(tmp_path), checkpoint_format="checkpoint")
    estimator.train(input_fn)
    assert not [name for name in estimator.get_variable_names() if "loss" in name or "mae" in name]


class Twice(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, kernel_initializer="ones")

    def call(self, inputs):
        return 2 * self.dense(inputs["x"])


class Wide(keras.Model):
    def __init__(self, width):
        super().__init__()
        self.width, self.dense = width, keras.layers.Dense(width, kernel_initializer="ones")

    def call(self, inputs):
        return self.dense(inputs["x"])


class Described(Wide):
    def get_config(self):
        return {"width": self.width}


@pytest.mark.parametrize("built", [False, True])
def test_a_subclassed_model_trains(tmp_path, built):
    model = Twice()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    if built:
        model({"x": tf.ones([1, 1])})
        model.dense.kernel.assign([[3.0]])
    estimator = est.model_to_estimator(model, model_dir=str(tmp_path))
    one = np.ones([1, 1], np.float32)
    start = 3.0 if built else 1.0
    assert next(estimator.predict(given({"x": one})))["output_1"].item() == pytest.approx(2 * start)
    estimator.train(given({"x": one}, one))
    # loss (2w - 1)², gradient 4(2w - 1): with w = 1 it is 4, so 0.6; with w = 3 it is 20, so 1.
    (kernel,) = [name for name in estimator.get_variable_names() if name.endswith("kernel")]
    assert estimator.get_variable_value(kernel).item() == pytest.approx(1.0 if built else 0.6)


def test_a_subclassed_model_with_arguments_needs_its_configuration():
    for kind in (Wide, Described):
        model = kind(3)
        model.compile("sgd", "mse")
        if kind is Wide:
            with pytest.raises(ValueError, match=r"Wide can't be copied.*'width'"):
                est.model_to_estimator(model)
        else:
            row = next(est.model_to_estimator(model).predict(given({"x": np.ones([1, 1], np.float32)})))
            assert row["output_1"].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("functional", [True, False], ids=["functional", "sequential"])
def test_feature_columns_in_a_keras_model_train(tmp_path, functional):
    words = tf.feature_column.categorical_column_with_vocabulary_list("s", ["x", "y"])
    columns = [
        tf.feature_column.numeric_column("a", normalizer_fn=lambda v: v / 2),
        tf.feature_column.indicator_column(words),
    ]
    head = keras.layers.Dense(1, kernel_initializer="ones", name="head")
    if functional:
        inputs = {"a": keras.layers.Input((1,), name="a"), "s": keras.layers.Input((1,), name="s", dtype="string")}
        model = keras.Model(inputs, head(est.layers.DenseFeatures(columns)(inputs)))
    else:
        model = keras.Sequential([est.layers.DenseFeatures(columns), head])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    estimator = est.model_to_estimator(model, model_dir=str(tmp_path))
    features = {"a": np.float32([[2.0]]), "s": np.array([["y"]])}
    # 2 / 2 + 1 for the word, all weights one.
    assert next(estimator.predict(given(features)))["head"].item() == pytest.approx(2.0)
    estimator.train(given(features, np.float32([[1.0]])))
    # loss (p - 1)², gradient 2 for each weight on an input of one: 1 - 0.2; x's weight stays.
    (kernel,) = [name for name in estimator.get_variable_names() if name.endswith("head/kernel")]
    np.testing.assert_allclose(estimator.get_variable_value(kernel), [[0.8], [1.0], [0.8]], rtol=1e-6)


def test_metrics_and_weights_given_once_count_for_each_output():
    x = keras.layers.Input((1,), name="x")
    first, second = (keras.layers.Dense(1, name=name, kernel_initializer="ones")(x) for name in ("a", "b"))
    model = keras.Model(x, [first, second])
    model.compile("sgd", "mse", metrics=["mae"], loss_weights=[1.0, 0.5])
    result = est.model_to_estimator(model).evaluate(given(ROWS, {"a": LABELS, "b": LABELS + 1}))
    # Errors of a: 0 1 1 0; of b: 1 2 0 1. Loss 2/4 + 0.5 · 6/4.
    assert result == {
        "loss": pytest.approx(1.25),
        "a_mae": pytest.approx(0.5),
        "b_mae": pytest.approx(1.0),
        "global_step": 0,
    }


def test_object_based_checkpoints_of_the_old_library_train_on(tmp_path):
    # tf.estimator 2.15.1 wrote it after two steps on rows of one, SGD(0.1, momentum=0.9), mean absolute error, from
    # zeros: steps of 0.1 and 0.19, then here one of 0.9 · 0.19 + 0.1.
    shutil.copytree(pathlib.Path(__file__).parents[1] / "corpus" / "keras_object_based", tmp_path / "model")
    x = keras.layers.Input((1,), name="i")
    model = keras.Model(x, keras.layers.Dense(1, kernel_initializer="zeros", name="d")(x))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mean_absolute_error")
    estimator = est.model_to_estimator(model, model_dir=str(tmp_path / "model"))
    assert estimator.get_variable_value("d/kernel").item() == pytest.approx(0.29)
    assert estimator.get_variable_value("training/SGD/d/kernel/momentum").item() == pytest.approx(0.19)
    one = np.ones([4, 1], np.float32)
    estimator.train(lambda: tf.data.Dataset.from_tensors((one, one)).repeat(), steps=1)
    assert estimator.get_variable_value("global_step") == 3
    assert estimator.get_variable_value("d/kernel").item() == pytest.approx(0.29 + 0.9 * 0.19 + 0.1)


def test_without_eager_execution_the_reason_is_given():
    with tf.Graph().as_default():
        model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match=r"in eager mode only.*disable_v2_behavior"):
            est.model_to_estimator(model)
