"""Hooks with `values_later` in a real training: the same values as step by step, the end of the input, stops."""

import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator import linear_model
from tf_estimator import hooks
from tf_estimator.loop import kept_values
from tf_estimator.training import run

v1 = tf.compat.v1


class Values(hooks.SessionRunHook):
    """Reads loss and weights of each step."""

    def __init__(self, *, more=None, stop_at=None):
        self.more, self.stop_at = more or {}, stop_at
        self.seen, self.calls = [], 0

    def begin(self):
        self.loss = v1.get_collection(v1.GraphKeys.LOSSES)[-1]

    def before_run(self, run_context):
        self.calls += 1
        return v1.train.SessionRunArgs({"loss": self.loss, **self.more}) if self.calls else None

    def after_run(self, run_context, run_values):
        self.seen.append(run_values.results["loss"])
        if len(self.seen) == self.stop_at:
            run_context.request_stop()


class Later(Values):
    values_later = True


class EachStep(hooks.SessionRunHook):
    """Makes the loop go step by step."""


def trained(directory, hook, *others, steps=40, epochs=None, **config):
    estimator = linear_model.make(directory, **config)
    estimator.train(linear_model.rows(epochs), steps=steps, hooks=[hook, *others])
    return estimator


def test_values_are_those_of_each_step(tmp_path):
    one, later = Values(), Later()
    first = trained(tmp_path / "one", one)
    second = trained(tmp_path / "later", later)
    assert later.seen == one.seen and len(later.seen) == 40
    assert type(later.seen[0]) is type(one.seen[0])
    assert later.calls < 10 < one.calls == 40
    assert (first.get_variable_value("w") == second.get_variable_value("w")).all()


def test_values_of_columns_and_between_other_hooks(tmp_path):
    """Summaries, a checkpoint and a hook of its own steps come in between; columns give several windows."""

    def run(hook, name):
        estimator = linear_model.make(tmp_path / name, save_summary_steps=7, save_checkpoints_steps=15)
        columns = est.inputs.columns_input_fn({"x": linear_model.X}, linear_model.Y, batch_size=16)
        estimator.train(columns, max_steps=33, hooks=[hook])
        return hook

    assert run(Later(), "later").seen == run(Values(), "one").seen


def test_end_of_the_input_loses_no_value(tmp_path):
    one, later = Values(), Later()
    trained(tmp_path / "one", one, steps=None, epochs=3)
    estimator = trained(tmp_path / "later", later, steps=None, epochs=3)
    assert later.seen == one.seen and len(later.seen) == 12
    assert estimator.get_variable_value("global_step") == 12


def test_stop_comes_after_the_steps_of_the_call(tmp_path):
    later = Later(stop_at=3)
    estimator = trained(tmp_path, later, steps=1000)
    assert estimator.get_variable_value("global_step") == len(later.seen) < 1000


def test_hook_says_how_many_steps_it_waits_for(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "CALL_SECONDS", 1e6)  # slow steps would make calls shorter

    class Impatient(Later):
        asked: list[int] = []

        def most_later(self, global_step):
            self.asked.append(global_step)
            return 1 if global_step == 0 else 7

    later = Impatient()
    trained(tmp_path, later, steps=22)
    assert later.asked == [0, 1, 8, 15]  # then as many as are left
    assert len(later.seen) == 22


def test_what_keeps_values_is_made_once_for_a_trace(tmp_path):
    estimator = linear_model.make(tmp_path)
    rows = linear_model.rows()
    for goal in (20, 40):
        estimator.train(rows, max_steps=goal, hooks=[Later()])
        trace, _ = estimator.model_runtime.trace_with_input(rows, "train")
        kept = [key for key in trace.memo._made if key[0] == "kept"]
        assert len(kept) == 1


def test_loss_that_is_not_finite_is_handed_over_before_the_error(tmp_path):
    later = Later()
    estimator = linear_model.make(tmp_path, params={"rate": 1e20})
    with pytest.raises(est.NanLossDuringTrainingError):
        estimator.train(linear_model.rows(), steps=100, hooks=[later])
    assert len(later.seen) < 10
    assert not tf.math.is_finite(later.seen[-1])


@pytest.mark.parametrize("other", [EachStep(), Values(more={"text": "words:0"})], ids=["hook", "string"])
def test_steps_one_by_one_where_something_asks_for_it(tmp_path, other):
    """Another hook that is due at each step; here with a value that is no number."""

    class Words(Later):
        def begin(self):
            super().begin()
            tf.constant("word", name="words")

    later = Words(more={"text": "words:0"} if isinstance(other, Values) else None)
    trained(tmp_path, later, *([] if isinstance(other, Values) else [other]), steps=6)
    assert later.calls == len(later.seen) == 6


def test_calls_are_as_long_as_values_take_room(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_values, "MOST_BYTES", 20)
    later = Later()
    trained(tmp_path, later)
    assert len(later.seen) == 40
    assert later.calls >= 40 // 5


def test_evaluation_calls_it_for_each_batch(tmp_path):
    class Batches(hooks.SessionRunHook):
        values_later, count = True, 0

        def after_run(self, run_context, run_values):
            self.count += 1

    hook = Batches()
    estimator = trained(tmp_path, Later(), steps=2)
    estimator.evaluate(linear_model.rows(1), hooks=[hook])
    assert hook.count == 4
