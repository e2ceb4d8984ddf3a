"""The hooks in a real training: what they see, at which steps, and that they say beforehand when they are due."""

import json
import logging

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator import small_model
from tf_estimator import eval_events, hooks
from tf_estimator.hooks import xplane

v1 = tf.compat.v1


class Recorder(hooks.SessionRunHook):
    """Notes after which global steps it was called; without `next_step` that is each one."""

    def __init__(self):
        self.steps = []

    def begin(self):
        self.step = tf.identity(v1.train.get_global_step())

    def after_run(self, run_context, run_values):
        self.steps.append(int(run_context.session.run(self.step)))


class EachStep(hooks.SessionRunHook):
    """Makes the loop go step by step."""


class Writer:
    """Stands in for a summary writer."""

    def __init__(self):
        self.summaries, self.sessions = [], []

    def add_summary(self, summary, step):
        proto = v1.Summary.FromString(summary) if isinstance(summary, bytes) else summary
        self.summaries.append((step, [value.tag for value in proto.value]))

    def add_session_log(self, log, step):
        self.sessions.append((step, log.status))

    def flush(self):
        pass


@pytest.fixture(params=[False, True], ids=["many steps a call", "step by step"])
def others(request):
    """Hooks beside the one under test: they must make no difference to it."""
    return [EachStep()] if request.param else []


@pytest.fixture
def estimator(tmp_path):
    return small_model.make(tmp_path, save_checkpoints_steps=1000)


def train(estimator, *all_hooks, steps=10, **arguments):
    estimator.train(small_model.endless_input_fn, hooks=list(all_hooks), steps=steps, **arguments)


def test_logging_tensor_hook_logs_first_step_and_every_nth(estimator, others, caplog):
    with caplog.at_level(logging.INFO, "tf_estimator"):
        train(estimator, hooks.LoggingTensorHook({"step": "global_step:0"}, every_n_iter=4), *others)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("step = ")]
    # Steps 1, 5 and 9 of ten; the first line has no time since the one before.
    assert len(lines) == 3
    assert "sec" not in lines[0]
    assert lines[1].endswith("sec)")


def test_logging_tensor_hook_formats_and_logs_at_the_end(estimator, caplog):
    hook = hooks.LoggingTensorHook(
        ["global_step:0"], at_end=True, formatter=lambda values: f"end {values['global_step:0']:d}"
    )
    with caplog.at_level(logging.INFO, "tf_estimator"):
        train(estimator, hook)
    assert [r.getMessage() for r in caplog.records if r.getMessage().startswith("end")] == ["end 10"]
    assert hook.next_step(3) is None


def test_logging_tensor_hook_counts_batches_of_an_evaluation(estimator, caplog):
    train(estimator)
    with caplog.at_level(logging.INFO, "tf_estimator"):
        hook = hooks.LoggingTensorHook(["global_step:0"], every_n_iter=2)
        estimator.evaluate(small_model.input_fn, hooks=[hook])
    # Four batches, the global step stands still: batches 1 and 3.
    assert len([r for r in caplog.records if r.getMessage().startswith("global_step:0 = ")]) == 2


def test_summary_saver_hook_writes_first_step_and_every_nth(estimator, others):
    writer = Writer()
    with tf.Graph().as_default():
        scaffold = v1.train.Scaffold()
    hook = hooks.SummarySaverHook(save_steps=3, summary_writer=writer, scaffold=scaffold)

    class Summaries(hooks.SessionRunHook):
        def begin(self):
            hook._of_scaffold, hook._given = None, [v1.summary.scalar("one", 1.0)]

    train(estimator, Summaries() if others else _Never(Summaries()), hook, *others)
    assert writer.summaries == [(1, ["one"]), (4, ["one"]), (7, ["one"]), (10, ["one"])]
    assert writer.sessions == [(1, v1.SessionLog.START)]


class _Never(hooks.SessionRunHook):
    """Another hook's `begin`, never called at a step."""

    def __init__(self, inner):
        self._inner = inner

    def begin(self):
        self._inner.begin()

    def next_step(self, global_step):
        return None


def test_step_counter_hook_measures_every_nth(estimator, others):
    writer = Writer()
    train(estimator, hooks.StepCounterHook(every_n_steps=4, summary_writer=writer), *others)
    # The first step starts the clock.
    assert writer.summaries == [(5, ["global_step/sec"]), (9, ["global_step/sec"])]


def test_step_counter_hook_writes_event_files(estimator, tmp_path):
    train(estimator, hooks.StepCounterHook(every_n_steps=4, output_dir=str(tmp_path / "events")))
    v1.summary.FileWriterCache.clear()
    rates = eval_events.read_directory(str(tmp_path / "events"))
    assert list(rates) == [5, 9]
    assert rates[5]["global_step/sec"] > 0


def test_stop_at_step_hook_stops_there(estimator, others):
    # (arguments, step of the end): a limit that is behind already stops after one step.
    for arguments, last in [
        ({"num_steps": 5}, 5),
        ({"last_step": 7}, 7),
        ({"last_step": 3}, 8),
        ({"num_steps": 2}, 10),
    ]:
        recorder = [Recorder()] if others else []
        first = estimator.get_variable_value("global_step") + 1 if last > 5 else 1
        train(estimator, hooks.StopAtStepHook(**arguments), *recorder, steps=20)
        assert estimator.get_variable_value("global_step") == last
        assert [hook.steps for hook in recorder] in ([], [list(range(first, last + 1))])


def test_nan_tensor_hook_raises_the_documented_error(estimator):
    class Bad(hooks.NanTensorHook):
        def begin(self):
            self.loss_tensor = tf.math.log(-tf.ones([2])) * tf.cast(v1.train.get_global_step(), tf.float32)

    with pytest.raises(est.NanLossDuringTrainingError, match="lower the learning rate"):
        train(estimator, Bad(None))
    train(estimator, Bad(None, fail_on_nan_loss=False))
    assert estimator.get_variable_value("global_step") < 10


def test_final_ops_hook_has_values_at_the_end(estimator):
    class Step(hooks.FinalOpsHook):
        def begin(self):
            self._final_ops = {"step": tf.identity(v1.train.get_global_step())}

    hook = Step(None)
    train(estimator, hook)
    assert hook.final_ops_values == {"step": 10}
    assert hook.next_step(1) is None


def test_global_step_waiter_hook_waits_once(estimator, monkeypatch):
    waits = []
    hook = hooks.GlobalStepWaiterHook(3)

    class Other:
        """Another worker's steps, seen while this one sleeps."""

        def sleep(self, seconds):
            waits.append(seconds)
            hook.wait_until_step = 0

    monkeypatch.setattr("tf_estimator.hooks.global_step_waiter.time", Other())
    train(estimator, hook)
    assert waits == [0.5]
    assert hook.next_step(5) is None


def test_feed_fn_hook_feeds_each_step(estimator):
    values = iter(range(100))

    class Feed(hooks.SessionRunHook):
        def begin(self):
            self.fed = v1.placeholder(tf.float32, [])
            self.inner = hooks.FeedFnHook(lambda: {self.fed: next(values)})
            self.results = []

        def before_run(self, run_context):
            return hooks.SessionRunArgs(self.fed * 2, feed_dict=self.inner.before_run(run_context).feed_dict)

        def after_run(self, run_context, run_values):
            self.results.append(float(run_values.results))

    hook = Feed()
    train(estimator, hook, steps=3)
    assert hook.results == [0.0, 2.0, 4.0]


class Listener(hooks.CheckpointSaverListener):
    def __init__(self, stop_at=None):
        self.calls, self.stop_at = [], stop_at

    def begin(self):
        self.calls.append("begin")

    def before_save(self, session, global_step):
        self.calls.append(f"before {global_step}")

    def after_save(self, session, global_step):
        self.calls.append(f"after {global_step}")
        return global_step == self.stop_at

    def end(self, session, global_step):
        self.calls.append(f"end {global_step}")


def checkpoints(estimator):
    state = tf.train.get_checkpoint_state(estimator.model_dir)
    return [int(path.rpartition("-")[2]) for path in state.all_model_checkpoint_paths]


def test_checkpoint_saver_hook_saves_and_tells_its_listeners(estimator, others):
    listener = Listener()
    hook = hooks.CheckpointSaverHook(estimator.model_dir, save_steps=4, listeners=[listener])
    train(estimator, hook, *others)
    # At the start, after 4 and 8 steps, and at the end.
    assert checkpoints(estimator) == [0, 4, 8, 10]
    saves = [f"{when} {step}" for step in (0, 4, 8, 10) for when in ("before", "after")]
    assert listener.calls == ["begin", *saves, "end 10"]
    train(estimator)
    assert estimator.get_variable_value("global_step") == 20


def test_checkpoint_saver_listener_stops_training(estimator, others):
    hook = hooks.CheckpointSaverHook(estimator.model_dir, save_steps=4, listeners=[Listener(stop_at=4), Listener()])
    train(estimator, hook, *others)
    assert checkpoints(estimator) == [0, 4]
    assert hook.listeners[1].calls[-2:] == ["after 4", "end 4"]


def test_checkpoint_saver_hook_with_a_saver_uses_it(estimator, tmp_path):
    class WithSaver(hooks.CheckpointSaverHook):
        def begin(self):
            self._given = v1.train.Saver([v1.train.get_global_step()])
            super().begin()

    train(estimator, WithSaver(str(tmp_path / "own"), save_steps=100, checkpoint_basename="part"))
    path = tf.train.latest_checkpoint(str(tmp_path / "own"))
    assert path.endswith("part-10")
    assert list(tf.train.load_checkpoint(path).get_variable_to_shape_map()) == ["global_step"]


def test_profiler_hook_writes_timelines(estimator, tmp_path, others):
    train(estimator, hooks.ProfilerHook(save_steps=4, output_dir=str(tmp_path / "profile")), *others)
    files = sorted(path.name for path in (tmp_path / "profile").glob("timeline-*.json"))
    assert files == ["timeline-4.json", "timeline-8.json"]
    events = json.loads((tmp_path / "profile" / files[0]).read_text())["traceEvents"]
    assert any(event["ph"] == "X" and event["dur"] >= 0 for event in events)


def test_xplane_reads_names_and_times():
    # XEventMetadata{1, "op"} in a map entry; XEvent{metadata 1, offset 2 us, duration 3 us}; XLine at 4 us.
    metadata = b"\x08\x01\x12\x02op"
    entry = b"\x08\x01\x12" + bytes([len(metadata)]) + metadata
    event = b"\x08\x01\x10\x80\x89\x7a\x18\xc0\x8d\xb7\x01"
    line = b"\x12\x01t\x18\xa0\x1f\x22" + bytes([len(event)]) + event
    plane = b"\x12\x01p\x1a" + bytes([len(line)]) + line + b"\x22" + bytes([len(entry)]) + entry
    trace = xplane.chrome_trace(b"\x0a" + bytes([len(plane)]) + plane)
    assert trace["traceEvents"][-1] == {"ph": "X", "pid": 0, "tid": 0, "name": "op", "ts": 6.0, "dur": 3.0}


def test_in_memory_evaluator_hook_evaluates_without_checkpoints(estimator, others):
    hook = hooks.InMemoryEvaluatorHook(estimator, small_model.input_fn, name="live", every_n_iter=4)
    train(estimator, hook, *others)
    results = eval_events.read_directory(estimator.eval_dir("live"))
    assert list(results) == [0, 4, 8, 10]
    last = estimator.evaluate(small_model.input_fn)
    assert results[10]["loss"] == pytest.approx(last["loss"], rel=1e-6)
    assert results[0]["loss"] != results[10]["loss"]
    assert checkpoints(estimator) == [0, 10]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda e: hooks.SecondOrStepTimer(), ValueError),
        (lambda e: hooks.SecondOrStepTimer(every_secs=1, every_steps=1), ValueError),
        (lambda e: hooks.SecondOrStepTimer(every_steps=-1), ValueError),
        (lambda e: hooks.LoggingTensorHook(["x"]), ValueError),
        (lambda e: hooks.LoggingTensorHook(["x"], every_n_iter=1, every_n_secs=1), ValueError),
        (lambda e: hooks.LoggingTensorHook(["x"], every_n_iter=0), ValueError),
        (lambda e: hooks.SummarySaverHook(save_steps=1), ValueError),
        (lambda e: hooks.StepCounterHook(every_n_steps=1, every_n_secs=1), ValueError),
        (lambda e: hooks.StopAtStepHook(), ValueError),
        (lambda e: hooks.StopAtStepHook(num_steps=1, last_step=1), ValueError),
        (lambda e: hooks.CheckpointSaverHook("d"), ValueError),
        (lambda e: hooks.CheckpointSaverHook("d", save_steps=1, saver=1, scaffold=1), ValueError),
        (lambda e: hooks.ProfilerHook(), ValueError),
        (lambda e: hooks.ProfilerHook(save_steps=1, show_memory=True), ValueError),
        (lambda e: hooks.InMemoryEvaluatorHook(e, None, every_n_iter=0), ValueError),
        (lambda e: hooks.InMemoryEvaluatorHook("estimator", None), TypeError),
    ],
)
def test_hook_with_wrong_arguments_raises(estimator, make, error):
    with pytest.raises(error):
        make(estimator)


def test_hook_without_a_global_step_raises():
    for hook in (hooks.StepCounterHook(output_dir=None), hooks.StopAtStepHook(1), hooks.GlobalStepWaiterHook(1)):
        with tf.Graph().as_default(), pytest.raises(RuntimeError, match="needs a global step"):
            hook.begin()


class Clock:
    """Time that moves only when it is told."""

    def __init__(self):
        self.now = 1000.0

    def time(self):
        return self.now


def test_timer_of_steps_names_the_step_it_triggers_at():
    timer = hooks.SecondOrStepTimer(every_steps=5)
    assert timer.next_step(7) == 8
    timer.update_last_triggered_step(8)
    assert timer.next_step(8) == 13
    assert not timer.should_trigger_for_step(12)
    assert timer.should_trigger_for_step(13)
    assert timer.next_step(20) == 21


def test_timer_of_seconds_never_looks_past_its_time(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.time", clock.time)
    timer = hooks.SecondOrStepTimer(every_secs=10)
    timer.update_last_triggered_step(0)
    step, triggered = 0, []
    # 100 steps a second: due each 1,000 steps, found less than 2 % late.
    while step < 5000:
        following = timer.next_step(step)
        assert following > step
        clock.now += (following - step) / 100
        step = following
        if timer.should_trigger_for_step(step):
            triggered.append(step)
            timer.update_last_triggered_step(step)
    np.testing.assert_allclose(np.diff([0, *triggered]), 1000, rtol=0.02)
    assert len(triggered) in (4, 5)
