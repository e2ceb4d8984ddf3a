"""Where a training's input starts: from its beginning after a run that ended by itself, where it was after a kill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tf_estimator.checkpoint import input_position

v1 = tf.compat.v1


def model_fn(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
    """Its loss is the number of the batch, so that losses tell which batches a training saw."""
    if mode == est.ModeKeys.EVAL:
        return est.EstimatorSpec(mode, loss=tf.reduce_mean(features["x"]))
    step = v1.train.get_or_create_global_step()
    return est.EstimatorSpec(mode, loss=tf.reduce_mean(features["x"]), train_op=step.assign_add(1))


def five_batches() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices({"x": np.arange(5.0, dtype=np.float32)}).batch(1)


def five_batches_of_columns() -> Any:
    x = np.arange(5.0, dtype=np.float32)
    return est.inputs.columns_input_fn({"x": x}, batch_size=1, num_epochs=1)


INPUTS = pytest.mark.parametrize(
    "input_of", [lambda: five_batches, five_batches_of_columns], ids=["tf.data", "columns"]
)


class Seen(v1.train.SessionRunHook):
    """The numbers of the batches that were trained on; stops or fails after some of them."""

    def __init__(self, *, stop_after: int | None = None, fail_after: int | None = None) -> None:
        self.batches: list[int] = []
        self._stop_after, self._fail_after = stop_after, fail_after

    def before_run(self, run_context: Any) -> Any:
        return v1.train.SessionRunArgs(v1.get_default_graph().get_collection(v1.GraphKeys.LOSSES)[-1])

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.batches.append(int(run_values.results))
        if len(self.batches) == self._stop_after:
            run_context.request_stop()
        if len(self.batches) == self._fail_after:
            raise KeyboardInterrupt


def trained(directory: Path, input_fn: Any, hooks: list[Any] | None = None, **how: Any) -> int:
    """The global step after a training by an Estimator of its own, as a new process has one."""
    config = est.RunConfig(save_checkpoints_steps=1)
    estimator = est.Estimator(model_fn, str(directory), config)
    estimator.train(input_fn, hooks=hooks, **how)
    return int(estimator.get_variable_value("global_step"))


@INPUTS
def test_three_steps_twice_on_five_batches_are_six_steps(tmp_path: Path, input_of: Callable[[], Any]) -> None:
    first, second = Seen(), Seen()
    assert trained(tmp_path, input_of(), [first], steps=3) == 3
    assert trained(tmp_path, input_of(), [second], steps=3) == 6
    assert (first.batches, second.batches) == ([0, 1, 2], [0, 1, 2])


@INPUTS
def test_same_estimator_starts_its_input_anew(tmp_path: Path, input_of: Callable[[], Any]) -> None:
    estimator = est.Estimator(model_fn, str(tmp_path))
    for step in (3, 6, 9):
        estimator.train(input_of(), steps=3)
        assert estimator.get_variable_value("global_step") == step


@INPUTS
def test_exactly_one_epoch_is_followed_by_another(tmp_path: Path, input_of: Callable[[], Any]) -> None:
    # five batches, five steps: the end of the input was never asked for
    assert trained(tmp_path, input_of(), steps=5) == 5
    assert trained(tmp_path, input_of(), steps=5) == 10


@INPUTS
def test_higher_max_steps_trains_from_the_first_batch_on(tmp_path: Path, input_of: Callable[[], Any]) -> None:
    second = Seen()
    assert trained(tmp_path, input_of(), max_steps=5) == 5
    assert trained(tmp_path, input_of(), [second], max_steps=8) == 8
    assert second.batches == [0, 1, 2]


@INPUTS
def test_input_that_ended_starts_anew(tmp_path: Path, input_of: Callable[[], Any]) -> None:
    assert trained(tmp_path, input_of()) == 5
    assert trained(tmp_path, input_of()) == 10


@pytest.mark.parametrize("stopping", ["hook", "listener", "predicate"])
def test_training_that_a_hook_stopped_starts_its_input_anew(tmp_path: Path, stopping: str) -> None:
    class Stop(v1.train.CheckpointSaverListener):
        def after_save(self, session: Any, global_step_value: int) -> bool:
            return global_step_value == 2

    estimator = est.Estimator(model_fn, str(tmp_path), est.RunConfig(save_checkpoints_steps=1))
    hooks = {
        "hook": [Seen(stop_after=2)],
        "listener": [],
        "predicate": [est.hooks.StopAtStepHook(last_step=2)],
    }[stopping]
    listeners = [Stop()] if stopping == "listener" else None
    estimator.train(five_batches, hooks=hooks, saving_listeners=listeners)
    assert estimator.get_variable_value("global_step") == 2
    seen = Seen()
    assert trained(tmp_path, five_batches, [seen]) == 7
    assert seen.batches == [0, 1, 2, 3, 4]


@INPUTS
def test_training_that_failed_goes_on_where_its_checkpoint_is(tmp_path: Path, input_of: Callable[[], Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, input_of(), [Seen(fail_after=3)], steps=5)
    after = Seen()
    # The hook failed at step 3 after the checkpoint of that step, as hooks of tf.estimator find it.
    assert trained(tmp_path, input_of(), [after], max_steps=5) == 5
    assert after.batches == [3, 4]


def test_second_training_that_failed_goes_on_in_its_own_pass(tmp_path: Path) -> None:
    assert trained(tmp_path, five_batches, steps=4) == 4
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, five_batches, [Seen(fail_after=3)], steps=5)
    after = Seen()
    assert trained(tmp_path, five_batches, [after]) == 9  # 4 + 3 of the failed one + the 2 batches that were left
    assert after.batches == [3, 4]


@INPUTS
def test_keep_input_position_makes_several_trainings_one_pass(tmp_path: Path, input_of: Callable[[], Any]) -> None:
    keep, first, second = est.hooks.KeepInputPosition(), Seen(stop_after=2), Seen()
    assert trained(tmp_path, input_of(), [keep, first]) == 2
    assert trained(tmp_path, input_of(), [keep, second], steps=2) == 4
    third = Seen()
    assert trained(tmp_path, input_of(), [keep, third]) == 5
    assert first.batches + second.batches + third.batches == [0, 1, 2, 3, 4]
    fourth = Seen()
    assert trained(tmp_path, input_of(), [keep, fourth]) == 10, "the input had ended: the pass was over"


def test_checkpoint_of_the_last_step_is_saved_once_and_without_position(tmp_path: Path) -> None:
    saves: list[int] = []

    class Count(v1.train.CheckpointSaverListener):
        def after_save(self, session: Any, global_step_value: int) -> None:
            saves.append(global_step_value)

    estimator = est.Estimator(model_fn, str(tmp_path), est.RunConfig(save_checkpoints_steps=1))
    estimator.train(five_batches, saving_listeners=[Count()])
    assert saves == [0, 1, 2, 3, 4, 5]
    assert input_position.read(str(tmp_path / "model.ckpt-4")) != {}
    assert input_position.read(str(tmp_path / "model.ckpt-5")) == {}


def test_hook_that_saves_itself_leaves_no_position_either(tmp_path: Path) -> None:
    saving = est.hooks.CheckpointSaverHook(str(tmp_path), save_steps=1)
    assert trained(tmp_path, five_batches, [saving], steps=3) == 3
    seen = Seen()
    assert trained(tmp_path, five_batches, [seen], steps=3) == 6
    assert seen.batches == [0, 1, 2]


def test_train_and_evaluate_goes_on_from_the_first_batch_on(tmp_path: Path) -> None:
    for max_steps, batches in ((3, [0, 1, 2]), (7, [0, 1, 2, 3])):
        seen = Seen()
        estimator = est.Estimator(model_fn, str(tmp_path), est.RunConfig(save_checkpoints_steps=2))
        metrics, _ = est.train_and_evaluate(
            estimator,
            est.TrainSpec(five_batches, max_steps=max_steps, hooks=[seen]),
            est.EvalSpec(five_batches, throttle_secs=0, start_delay_secs=0),
        )
        assert metrics["global_step"] == max_steps
        assert seen.batches == batches
