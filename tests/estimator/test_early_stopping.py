"""Early stopping: what the evaluations say, and that training ends."""

import pytest
import tensorflow as tf

from tests.estimator import small_model
from tf_estimator import early_stopping

v1 = tf.compat.v1


@pytest.fixture(scope="module")
def estimator(tmp_path_factory):
    return small_model.make(tmp_path_factory.mktemp("early"), save_checkpoints_steps=1000)


def write(directory, values, tag="accuracy"):
    """Evaluations as event files: step to value."""
    with tf.Graph().as_default():
        writer = v1.summary.FileWriter(str(directory))
        for step, value in values.items():
            writer.add_summary(v1.Summary(value=[v1.Summary.Value(tag=tag, simple_value=value)]), step)
        writer.close()
    return str(directory)


def stops(hook):
    return hook._should_stop()


# Best value 0.7 at step 20; the last evaluation is 30 steps later.
SERIES = {10: 0.5, 20: 0.7, 30: 0.6, 50: 0.65}


@pytest.mark.parametrize(
    ("make", "argument", "min_steps", "stop"),
    [
        (early_stopping.stop_if_higher_hook, 0.69, 0, True),
        (early_stopping.stop_if_higher_hook, 0.7, 0, False),
        (early_stopping.stop_if_higher_hook, 0.62, 50, True),
        (early_stopping.stop_if_higher_hook, 0.69, 21, False),
        (early_stopping.stop_if_lower_hook, 0.51, 0, True),
        (early_stopping.stop_if_lower_hook, 0.5, 0, False),
        (early_stopping.stop_if_lower_hook, 0.51, 11, False),
        (early_stopping.stop_if_no_increase_hook, 30, 0, True),
        (early_stopping.stop_if_no_increase_hook, 31, 0, False),
        (early_stopping.stop_if_no_increase_hook, 15, 30, False),
        (early_stopping.stop_if_no_decrease_hook, 40, 0, True),
        (early_stopping.stop_if_no_decrease_hook, 41, 0, False),
    ],
)
def test_evaluations_decide(estimator, tmp_path, make, argument, min_steps, stop):
    # The lowest value, 0.5 at step 10, is 40 steps before the last evaluation.
    hook = make(estimator, "accuracy", argument, eval_dir=write(tmp_path, SERIES), min_steps=min_steps)
    assert stops(hook) is stop


def test_evaluations_without_the_metric_are_an_error_and_none_do_not_stop(estimator, tmp_path):
    directory = write(tmp_path / "other", SERIES, "auc")
    with pytest.raises(KeyError, match="no metric 'accuracy'"):
        stops(early_stopping.stop_if_higher_hook(estimator, "accuracy", 0.1, directory))
    assert not stops(early_stopping.stop_if_no_increase_hook(estimator, "accuracy", 1, str(tmp_path / "none")))


def test_early_stopping_hook_ends_training_at_its_step(estimator):
    asked = []

    def should_stop():
        asked.append(True)
        return len(asked) == 3

    hook = early_stopping.make_early_stopping_hook(estimator, should_stop, run_every_secs=None, run_every_steps=4)
    estimator.train(small_model.endless_input_fn, hooks=[hook], steps=100)
    # Asked after steps 1, 5 and 9.
    assert estimator.get_variable_value("global_step") == 9
    assert len(asked) == 3


@pytest.mark.parametrize(("last_step", "stopped"), [(3, 3), (4, 6)])
def test_stop_at_checkpoint_step_hook_stops_at_the_checkpoint(tmp_path, last_step, stopped):
    estimator = small_model.make(tmp_path, save_checkpoints_steps=3)
    hook = early_stopping.make_stop_at_checkpoint_step_hook(estimator, last_step=last_step)
    estimator.train(small_model.endless_input_fn, hooks=[hook], steps=50)
    assert estimator.get_variable_value("global_step") == stopped


def test_early_stopping_with_wrong_arguments_raises(estimator):
    with pytest.raises(TypeError, match="must be an est"):
        early_stopping.make_early_stopping_hook("estimator", lambda: True)
    for intervals in ({"run_every_steps": 1}, {"run_every_secs": None}):
        with pytest.raises(ValueError, match="exactly one of"):
            early_stopping.make_early_stopping_hook(estimator, lambda: True, **intervals)
    for make in (early_stopping.stop_if_lower_hook, early_stopping.stop_if_no_decrease_hook):
        with pytest.raises(TypeError, match="must be an est"):
            make("estimator", "loss", 1)
    with pytest.raises(TypeError, match="must be an est"):
        early_stopping.make_stop_at_checkpoint_step_hook("estimator", 1)
