"""model_to_estimator: a compiled Keras model trains, evaluates, predicts and exports as an Estimator."""

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tf_estimator import export

keras = tf.keras


def compiled(**arguments):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.layers.Input((2,), name="x"), keras.layers.Dense(3, "relu"), keras.layers.Dense(1)])
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
        (lambda: est.model_to_estimator(compiled(), checkpoint_format="checkpoint"), "always name-based"),
        (lambda: est.model_to_estimator(compiled(), export_outputs={"a": "b"}), "export_outputs names"),
        (lambda: est.model_to_estimator(keras.Sequential([keras.layers.Dense(1)])), "Input layer"),
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
