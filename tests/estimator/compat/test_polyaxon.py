"""What is Polyaxon's own: modes, calls without input_fn, its errors and string paths."""

from pathlib import Path

import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator import small_model
from tf_estimator import export
from tf_estimator.compat import polyaxon

v1 = tf.compat.v1


def own_input_model_fn(features, labels, mode, params, config, model_dir):
    """Has its input in itself, and every argument that Polyaxon hands on."""
    assert not features
    assert not labels
    assert model_dir == config.model_dir
    value = v1.get_variable("value", [], initializer=v1.zeros_initializer())
    if mode == polyaxon.Modes.PREDICT:
        return est.EstimatorSpec(
            mode, predictions={"value": tf.reshape(value, [1]), "twice": tf.reshape(value * 2, [1])}
        )
    step = v1.train.get_global_step()
    train_op = tf.group(value.assign_add(params["rate"]), step.assign_add(1))
    return est.EstimatorSpec(mode, loss=tf.abs(value), train_op=train_op)


@pytest.fixture
def estimator(tmp_path):
    config = est.RunConfig(model_dir=str(tmp_path / "model"), log_step_count_steps=None)
    return polyaxon.Estimator(own_input_model_fn, config=config, params={"rate": 0.5})


def test_modes_have_the_values_of_the_estimator():
    modes = polyaxon.Modes
    assert (modes.TRAIN, modes.EVAL, modes.PREDICT) == (est.ModeKeys.TRAIN, est.ModeKeys.EVAL, est.ModeKeys.PREDICT)


def test_estimator_without_input_fn_trains_evaluates_and_predicts(estimator):
    assert estimator.train(steps=2) is estimator
    estimator.train(max_steps=4)
    assert estimator.get_variable_value("value") == 2.0
    assert "value" in estimator.get_variable_names()
    assert estimator.evaluate(steps=2, name="two") == {"loss": 2.0, "global_step": 4}
    first = next(iter(estimator.predict(predict_keys=["twice"])))
    assert first == {"twice": 4.0}


def test_estimator_before_training_raises(estimator):
    for call in (lambda: estimator.evaluate(steps=1), lambda: next(estimator.predict())):
        with pytest.raises(ValueError, match="Could not find a trained model"):
            call()


def test_export_savedmodel_returns_a_string(tmp_path):
    params = small_model.make(tmp_path).params
    estimator = polyaxon.Estimator(small_model.model_fn, model_dir=str(tmp_path / "model"), params=params)
    estimator.train(small_model.endless_input_fn, steps=1)
    receiver_fn = export.build_parsing_serving_input_receiver_fn(small_model.FEATURE_SPEC)
    path = estimator.export_savedmodel(str(tmp_path / "out"), receiver_fn, as_text=True)
    assert isinstance(path, str)
    assert (Path(path) / "saved_model.pbtxt").is_file()
    with pytest.raises(ValueError, match="serving_input_receiver_fn must be defined"):
        estimator.export_savedmodel(str(tmp_path / "out"), None)


def test_estimator_with_params_that_the_model_does_not_take_raises():
    with pytest.raises(ValueError, match="params"):
        polyaxon.Estimator(lambda features, labels, mode: None, params={"rate": 1})


def test_estimator_shows_what_it_was_made_with(estimator):
    assert estimator.params == {"rate": 0.5}
    assert estimator.config.model_dir == estimator.model_dir
    assert callable(estimator.model_fn)
