"""add_metrics and the specs to parse examples with."""

import pytest
import tensorflow as tf

from tests.estimator import small_model
from tf_estimator.compat.extenders import add_metrics
from tf_estimator.export.parse_example_spec import classifier_parse_example_spec, regressor_parse_example_spec

v1 = tf.compat.v1


def test_add_metrics_adds_to_the_evaluation(tmp_path):
    estimator = small_model.make(tmp_path)
    estimator.train(small_model.endless_input_fn, steps=3)

    def metric_fn(features, labels, predictions, config):
        assert config.tf_random_seed == 7
        keras = tf.keras.metrics.Mean(name="label")
        keras.update_state(tf.cast(labels, tf.float32))
        return {
            "x_mean": v1.metrics.mean(features["x"]),
            "label_mean": keras,
            "logit": v1.metrics.mean(predictions["logits"]),
        }

    plain = estimator.evaluate(small_model.input_fn)
    extended = add_metrics(estimator, metric_fn)
    metrics = extended.evaluate(small_model.input_fn)
    features, labels = small_model.arrays()
    assert metrics["x_mean"] == pytest.approx(features["x"].mean(), rel=1e-5)
    assert metrics["label_mean"] == pytest.approx(labels.mean(), rel=1e-5)
    assert {name: metrics[name] for name in plain} == plain
    # It is the same model: training it goes on.
    extended.train(small_model.endless_input_fn, steps=2)
    assert estimator.get_variable_value("global_step") == 5


def test_add_metrics_replaces_a_metric_of_the_same_name(tmp_path):
    estimator = small_model.make(tmp_path).train(small_model.endless_input_fn, steps=1)
    extended = add_metrics(estimator, lambda: {"accuracy": v1.metrics.mean(tf.constant(7.0))})
    assert extended.evaluate(small_model.input_fn)["accuracy"] == 7


def test_add_metrics_with_wrong_arguments_raises(tmp_path):
    with pytest.raises(ValueError, match=r"arguments \['batch'\]"):
        add_metrics(small_model.make(tmp_path), lambda batch: {})
    with pytest.raises(TypeError, match="must be an est"):
        add_metrics("estimator", lambda: {})


def columns():
    return [tf.feature_column.numeric_column("x"), tf.feature_column.categorical_column_with_hash_bucket("w", 10)]


FEATURES = {"x": tf.io.FixedLenFeature((1,), tf.float32), "w": tf.io.VarLenFeature(tf.string)}


def test_classifier_spec_has_label_and_weight():
    spec = classifier_parse_example_spec(columns(), "y", tf.string, "unknown", "weight")
    assert spec == {
        **FEATURES,
        "y": tf.io.FixedLenFeature((1,), tf.string, ["unknown"]),
        "weight": tf.io.FixedLenFeature((1,), tf.float32),
    }
    assert classifier_parse_example_spec(columns(), "y") == {**FEATURES, "y": tf.io.FixedLenFeature((1,), tf.int64)}


def test_regressor_spec_has_the_label_dimension():
    weight = tf.feature_column.numeric_column("weight", default_value=1.0)
    spec = regressor_parse_example_spec(columns(), "y", label_default=0.5, label_dimension=2, weight_column=weight)
    assert spec == {
        **FEATURES,
        "y": tf.io.FixedLenFeature((2,), tf.float32, [0.5, 0.5]),
        "weight": tf.io.FixedLenFeature((1,), tf.float32, (1.0,)),
    }


def test_spec_parses_examples():
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(2.0)
    parsed = tf.io.parse_example(
        [example.SerializeToString()], classifier_parse_example_spec(columns(), "y", label_default=3)
    )
    assert parsed["y"].numpy().tolist() == [[3]]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: classifier_parse_example_spec(columns(), "x"), ValueError, "also a feature"),
        (lambda: classifier_parse_example_spec(columns(), "y", weight_column="x"), ValueError, "Weight 'x'"),
        (lambda: classifier_parse_example_spec(columns(), "y", weight_column="y"), ValueError, "Weight 'y'"),
        (lambda: classifier_parse_example_spec(columns(), "y", weight_column=3), TypeError, "weight_column must be"),
        (lambda: classifier_parse_example_spec(columns(), "y", label_default="a"), ValueError, "no int64"),
        (lambda: classifier_parse_example_spec(columns(), "y", tf.string, 3), ValueError, "no string"),
        (lambda: regressor_parse_example_spec(columns(), "w"), ValueError, "also a feature"),
        (lambda: regressor_parse_example_spec(columns(), "y", label_default=[1.0, 2.0]), ValueError, r"shape \[1\]"),
    ],
)
def test_spec_with_wrong_arguments_raises(make, error, message):
    with pytest.raises(error, match=message):
        make()
