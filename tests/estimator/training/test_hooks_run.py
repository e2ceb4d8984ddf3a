"""Session-run hooks, TensorFlow's own and users', on the engine's loop."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.linear_model import X, Y, by_hand, make, rows

v1 = tf.compat.v1


class Recorder(v1.train.SessionRunHook):
    """Asks for all kinds of fetches at each step and writes down what happens."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls: list[Any] = []
        self.values: list[Any] = []
        self.stop_at = stop_at

    def begin(self) -> None:
        self.calls.append("begin")
        graph = v1.get_default_graph()
        self.doubled = graph.get_tensor_by_name("w/Read/ReadVariableOp:0") * 2

    def after_create_session(self, session: Any, coord: Any) -> None:
        assert isinstance(session, v1.Session)
        assert session.graph is v1.get_default_graph()
        self.calls.append(("session", session.run("global_step:0")))

    def before_run(self, run_context: Any) -> Any:
        fetches = {
            "step": v1.train.get_global_step(),
            "pair": [self.doubled, ("global_step", "w:0")],
            "op": v1.get_default_graph().get_operation_by_name("w"),
        }
        return v1.train.SessionRunArgs(fetches)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.values.append(run_values.results)
        if len(self.values) == self.stop_at:
            run_context.request_stop()

    def end(self, session: Any) -> None:
        self.calls.append(("end", session.run(self.doubled)[0, 0]))


def test_user_hook_sees_values_of_each_step_and_stops(tmp_path: Path) -> None:
    hook = Recorder(stop_at=5)
    estimator = make(tmp_path).train(rows(), hooks=[hook])
    w = by_hand(5)
    assert hook.calls[:2] == ["begin", ("session", 0)]
    assert hook.calls[2][0] == "end"
    assert hook.calls[2][1] == pytest.approx(2 * w[0, 0], rel=1e-4)
    assert estimator.get_variable_value("global_step") == 5
    assert len(hook.values) == 5
    first = hook.values[0]
    assert set(first) == {"step", "pair", "op"}
    assert first["op"] is None
    assert isinstance(first["pair"], list)
    assert isinstance(first["pair"][1], tuple)
    assert first["pair"][0].shape == first["pair"][1][1].shape == (3, 1)
    np.testing.assert_allclose(estimator.get_variable_value("w"), w, rtol=1e-4)


def test_one_step_at_a_time_equals_many_at_a_time(tmp_path: Path) -> None:
    watched = make(tmp_path / "a", params={"optimizer": "adam"}).train(rows(), hooks=[Recorder()], steps=70)
    free = make(tmp_path / "b", params={"optimizer": "adam"}, log_step_count_steps=7).train(rows(), steps=70)
    for name in watched.get_variable_names():
        np.testing.assert_array_equal(watched.get_variable_value(name), free.get_variable_value(name))


class Scheduled(v1.train.SessionRunHook):
    """Knows when it wants values: every ten steps."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.steps: list[int] = []

    def next_step(self, global_step: int) -> int | None:
        self.asked.append(global_step)
        return (global_step // 10 + 1) * 10 if global_step < 40 else None

    def before_run(self, run_context: Any) -> Any:
        return v1.train.SessionRunArgs("Mean:0")

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.steps.append(int(run_context.session.run("global_step:0")))
        assert run_values.results.dtype == np.float32


def test_a_hook_that_says_when_is_called_then_only(tmp_path: Path) -> None:
    hook = Scheduled()
    make(tmp_path, log_step_count_steps=None, save_summary_steps=None).train(rows(), hooks=[hook], steps=100)
    assert hook.steps == [10, 20, 30, 40]
    assert len(hook.asked) < 40


def test_tensorflows_own_hooks_run_unchanged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("tensorflow").propagate = True
    estimator = make(tmp_path, save_checkpoints_steps=1000)
    summaries = tmp_path / "summaries"
    finals = v1.train.FinalOpsHook(final_ops=None)

    class Prepare(v1.train.SessionRunHook):
        def begin(self) -> None:
            graph = v1.get_default_graph()
            self.mean = graph.get_tensor_by_name("Mean:0")
            saver_hook._summary_op = v1.summary.scalar("own", self.mean)
            finals._final_ops = {"w": graph.get_tensor_by_name("w/Read/ReadVariableOp:0")}

    saver_hook = v1.train.SummarySaverHook(save_steps=4, output_dir=str(summaries), summary_op="set in begin")
    hooks = [
        Prepare(),
        saver_hook,
        v1.train.LoggingTensorHook(["Mean:0", "global_step:0"], every_n_iter=5),
        v1.train.StepCounterHook(every_n_steps=4, output_dir=str(summaries)),
        v1.train.StopAtStepHook(last_step=9),
        v1.train.CheckpointSaverHook(str(tmp_path), save_steps=4),
        finals,
    ]
    with caplog.at_level(logging.INFO, logger="tensorflow"):
        estimator.train(rows(), hooks=hooks)
    assert "global_step:0 = " in caplog.text
    assert estimator.get_variable_value("global_step") == 9
    np.testing.assert_allclose(finals.final_ops_values["w"], by_hand(9), rtol=1e-4, atol=1e-6)
    steps = {
        v.tag: e.step
        for f in summaries.glob("events*")
        for e in v1.train.summary_iterator(str(f))
        for v in e.summary.value
    }
    assert steps == {"own": 9, "global_step/sec": 9}
    names = sorted(p.name for p in tmp_path.glob("*.index"))
    assert names == [f"model.ckpt-{n}.index" for n in (0, 4, 8, 9)]


def test_nan_tensor_hook_of_tensorflow_stops(tmp_path: Path) -> None:
    class Watch(v1.train.NanTensorHook):
        def __init__(self) -> None:
            pass

        def begin(self) -> None:
            super().__init__(v1.get_default_graph().get_tensor_by_name("Mean:0"), fail_on_nan_loss=True)

    assert make(tmp_path).train(rows(), hooks=[Watch()], steps=2).get_variable_value("global_step") == 2


def feeding_model(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
    scale = v1.placeholder(tf.float32, [], name="scale")
    w = v1.get_variable("w", [], initializer=v1.zeros_initializer())
    update = v1.assign_add(w, scale)
    with tf.control_dependencies([update]):
        train = v1.assign_add(v1.train.get_global_step(), 1)
    return est.EstimatorSpec(mode, loss=scale * 1.0, train_op=train)


def test_feed_fn_hook_feeds_placeholders(tmp_path: Path) -> None:
    estimator = make(tmp_path, model=feeding_model, save_summary_steps=None, log_step_count_steps=None)
    feeds = iter([1.0, 2.0, 4.0])
    hook = v1.train.FeedFnHook(lambda: {"scale:0": np.float32(next(feeds))})
    estimator.train(rows(), hooks=[hook], steps=3)
    # 1 + 2 + 4.
    assert estimator.get_variable_value("w") == 7
    with pytest.raises(tf.errors.InvalidArgumentError, match="must feed a value for placeholder tensor 'scale'"):
        make(tmp_path / "b", model=feeding_model).train(rows(), steps=1)


def test_hooks_can_feed_the_batch(tmp_path: Path) -> None:
    estimator = make(tmp_path)

    class Zeros(v1.train.SessionRunHook):
        def begin(self) -> None:
            graph = v1.get_default_graph()
            self.labels = next(
                op for op in graph.get_operations() if op.type == "Placeholder" and op.outputs[0].shape[-1] == 1
            )

        def before_run(self, run_context: Any) -> Any:
            return v1.train.SessionRunArgs(None, {self.labels.outputs[0]: np.zeros([16, 1], np.float32)})

    estimator.train(rows(), hooks=[Zeros()], steps=3)
    # With labels of zero the weights stay zero.
    np.testing.assert_array_equal(estimator.get_variable_value("w"), np.zeros([3, 1]))


def test_listeners_are_called_around_saves_and_can_stop(tmp_path: Path) -> None:
    events: list[Any] = []

    class Listener(v1.train.CheckpointSaverListener):
        def begin(self) -> None:
            events.append("begin")

        def before_save(self, session: Any, global_step_value: int) -> None:
            events.append(("before", global_step_value))

        def after_save(self, session: Any, global_step_value: int) -> bool:
            events.append(("after", global_step_value, float(session.run("w:0")[0, 0]) != 0))
            return global_step_value >= 6

        def end(self, session: Any, global_step_value: int) -> None:
            events.append(("end", global_step_value))

    make(tmp_path, save_checkpoints_steps=3).train(rows(), saving_listeners=[Listener()], steps=100)
    saves = [(("before", n), ("after", n, n > 0)) for n in (0, 3, 6)]
    assert events == ["begin", *(e for pair in saves for e in pair), ("end", 6)]


def test_evaluation_and_prediction_hooks_are_called(tmp_path: Path) -> None:
    estimator = make(tmp_path).train(rows(), steps=2)

    class Count(v1.train.SessionRunHook):
        steps = 0

        def after_run(self, run_context: Any, run_values: Any) -> None:
            self.steps += 1
            if self.steps == 3:
                run_context.request_stop()

    evaluated, predicted = Count(), Count()
    result = estimator.evaluate(rows(1, 8), hooks=[evaluated])
    errors = (X @ estimator.get_variable_value("w") - Y)[:24]
    assert evaluated.steps == 3
    assert result["mae"] == pytest.approx(np.mean(np.abs(errors)), rel=1e-4)
    assert len(list(estimator.predict(rows(1, 8), hooks=[predicted]))) == 24


def test_scaffold_and_hooks_of_the_spec_are_used(tmp_path: Path) -> None:
    seen = Recorder()

    def model(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        w = v1.get_variable("w", [3, 1], initializer=v1.zeros_initializer())
        loss = tf.reduce_mean((features["x"] @ w - labels) ** 2)
        start = v1.placeholder(tf.float32, [3, 1])
        assign = v1.assign(w, start)
        scaffold = v1.train.Scaffold(init_fn=lambda scaffold, session: session.run(assign, {start: np.ones([3, 1])}))
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_global_step())
        return est.EstimatorSpec(mode, loss=loss, train_op=train, scaffold=scaffold, training_hooks=[seen])

    estimator = make(tmp_path, model=model).train(rows(), steps=1)
    np.testing.assert_allclose(
        estimator.get_variable_value("w"), by_hand(1, w=np.ones([3, 1], np.float32)), rtol=1e-5, atol=1e-6
    )
    assert len(seen.values) == 1


class FailsAt(v1.train.SessionRunHook):
    def __init__(self, step: int) -> None:
        self.step = step

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.step -= 1
        if not self.step:
            raise RuntimeError("as wanted")


def test_summaries_of_a_training_that_fails_are_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="as wanted"):
        make(tmp_path, log_step_count_steps=3).train(rows(), hooks=[FailsAt(8)])
    with tf.Graph().as_default():
        v1.summary.FileWriterCache.get(str(tmp_path)).flush()
    events = [e for f in tmp_path.glob("events*") for e in v1.train.summary_iterator(str(f))]
    found = [(e.step, v.tag) for e in events for v in e.summary.value if v.tag == "global_step/sec"]
    assert found == [(4, "global_step/sec"), (7, "global_step/sec")]
    assert all(abs(e.wall_time - events[0].wall_time) < 60 for e in events)


class Pairs(v1.train.SessionRunHook):
    """Writes down its calls; asks for the step's tensor each time anew."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls: list[str] = []
        self.contexts: list[Any] = []
        self.stop_at = stop_at

    def before_run(self, run_context: Any) -> Any:
        assert v1.get_default_graph() is run_context.session.graph
        self.calls.append("before")
        self.contexts.append(run_context)
        return v1.train.SessionRunArgs({"step": v1.train.get_global_step()})

    def after_run(self, run_context: Any, run_values: Any) -> None:
        assert run_context is self.contexts[-1]
        self.calls.append(f"after {run_values.results['step']}")
        if len(self.contexts) == self.stop_at:
            run_context.request_stop()


@pytest.mark.parametrize(("stop_at", "steps"), [(None, 7), (4, 7), (None, 1)])
def test_hooks_are_asked_before_each_step_and_told_after_it(tmp_path: Path, stop_at: int | None, steps: int) -> None:
    hooks = [Pairs(stop_at), Pairs()]
    make(tmp_path, log_step_count_steps=3, save_checkpoints_steps=2).train(rows(), hooks=hooks, max_steps=steps)
    done = stop_at or steps
    for hook in hooks:
        assert hook.calls == [call for step in range(done) for call in ("before", f"after {step}")]
        assert len({id(context) for context in hook.contexts}) == done


def test_hook_before_the_checkpoint_is_called_before_it_and_others_after_it(tmp_path: Path) -> None:
    seen: list[tuple[str, int, bool]] = []

    def look(name: str, base: Any) -> Any:
        class Looks(base):  # type: ignore[misc]
            step = 0

            def before_run(self, run_context: Any) -> Any:
                return v1.train.SessionRunArgs(v1.train.get_global_step())

            def after_run(self, run_context: Any, run_values: Any) -> None:
                self.step += 1
                seen.append((name, self.step, (tmp_path / f"model.ckpt-{self.step}.index").exists()))

        return Looks()

    estimator = make(tmp_path, save_checkpoints_steps=2)
    hooks = [look("other", v1.train.SessionRunHook), look("early", est.hooks.BeforeCheckpointHook)]
    estimator.train(rows(), hooks=hooks, steps=2)
    assert seen == [("early", 1, False), ("other", 1, False), ("early", 2, False), ("other", 2, True)]
