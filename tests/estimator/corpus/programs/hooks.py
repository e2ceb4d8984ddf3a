"""Session-run hooks."""

from __future__ import annotations

import glob
import os
from typing import Any

import tensorflow as tf

from .models import Notes, line_model, make, rows, v1, variables
from .registry import add, program

THEME = "hooks"


def _calls(est: Any, directory: str, run: Any, **notes: Any) -> Any:
    calls: list[Any] = []
    estimator = make(est, directory)
    run(estimator, [Notes(calls, **notes)])
    return calls


def _train_then(method: str) -> Any:
    def run(estimator: Any, hooks: list[Any]) -> None:
        estimator.train(rows(), steps=1)
        made = getattr(estimator, method)(rows(4, 1), hooks=hooks)
        if method == "predict":
            list(made)

    return run


for _name, _run, _notes in (
    ("calls of training", lambda e, h: e.train(rows(), steps=3, hooks=h), {}),
    ("calls of evaluation", _train_then("evaluate"), {}),
    ("calls of prediction", _train_then("predict"), {}),
    ("stop training", lambda e, h: e.train(rows(), steps=9, hooks=h), {"stop_at": 2}),
    ("stop evaluation", _train_then("evaluate"), {"stop_at": 1}),
    ("fetch the step", lambda e, h: e.train(rows(), steps=3, hooks=h), {"fetch": v1.train.get_global_step}),
    ("fetch by name", lambda e, h: e.train(rows(), steps=3, hooks=h), {"fetch": lambda: "w_value:0"}),
    ("fetch a nest", lambda e, h: e.train(rows(), steps=2, hooks=h),
     {"fetch": lambda: {"a": ["w_value:0", ("b_value:0",)], "b": v1.train.get_global_step()}}),
    ("fetch what is not there", lambda e, h: e.train(rows(), steps=2, hooks=h), {"fetch": lambda: "none:0"}),
):  # fmt: skip
    add(THEME, _name, lambda est, d, run=_run, notes=_notes: _calls(est, d, run, **notes))


@program(THEME)
def order_with_the_models_own(est: Any, directory: str) -> Any:
    calls: list[Any] = []
    own = {
        "train": lambda *_: {
            "training_hooks": [Notes(calls, "t-")],
            "training_chief_hooks": [Notes(calls, "c-")],
        },
        "eval": lambda *_: {"evaluation_hooks": [Notes(calls, "e-")]},
        "infer": lambda *_: {"prediction_hooks": [Notes(calls, "p-")]},
    }
    estimator = make(est, directory, line_model(est, **own))
    estimator.train(rows(), steps=1, hooks=[Notes(calls, "u-")])
    estimator.evaluate(rows(), steps=1, hooks=[Notes(calls, "u-")])
    next(estimator.predict(rows(), hooks=[Notes(calls, "u-")]))
    return calls


STOPS = {
    "num_steps": {"num_steps": 3},
    "last_step": {"last_step": 3},
    "none": {},
    "both": {"num_steps": 1, "last_step": 1},
}
for _name, _arguments in STOPS.items():
    add(
        THEME,
        f"stop at step {_name}",
        lambda est, d, a=_arguments: [
            variables(make(est, d).train(rows(), max_steps=5, hooks=[v1.train.StopAtStepHook(**a)]))["global_step"]
            for _ in range(2)
        ],
    )


@program(THEME)
def nan_loss_fails(est: Any, directory: str) -> Any:
    more = {"train": lambda p, y, loss, w, b: {"loss": loss * float("nan")}}
    return make(est, directory, line_model(est, **more)).train(rows(), steps=2)


@program(THEME)
def nan_tensor_hook_stops(est: Any, directory: str) -> Any:
    calls: list[Any] = []

    class Watch(v1.train.SessionRunHook):  # type: ignore[misc, name-defined]
        def begin(self) -> None:
            nan = tf.cond(v1.train.get_global_step() < 2, lambda: 1.0, lambda: float("nan"))
            self.hook = v1.train.NanTensorHook(nan, fail_on_nan_loss=False)

        def before_run(self, run_context: Any) -> Any:
            return self.hook.before_run(run_context)

        def after_run(self, run_context: Any, run_values: Any) -> None:
            calls.append("run")
            self.hook.after_run(run_context, run_values)

    estimator = make(est, directory).train(rows(), steps=9, hooks=[Watch()])
    return len(calls) < 9, int(estimator.get_variable_value("global_step")) < 9


@program(THEME)
def after_run_of_the_step_of_the_nan(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        step = v1.assign_add(v1.train.get_global_step(), 1)
        loss = tf.cond(step > 1, lambda: tf.constant(float("nan")), lambda: tf.constant(1.0))
        return est.EstimatorSpec(mode, loss=loss, train_op=step)

    calls: list[Any] = []
    try:
        make(est, directory, model_fn).train(rows(), steps=2, hooks=[Notes(calls)])
    except Exception as error:
        return [*calls, isinstance(error, v1.train.NanLossDuringTrainingError)]
    return calls


@program(THEME)
def a_hook_raises(est: Any, directory: str) -> Any:
    class Bad(v1.train.SessionRunHook):  # type: ignore[misc, name-defined]
        def after_run(self, run_context: Any, run_values: Any) -> None:
            raise KeyError("mine")

    calls: list[Any] = []
    try:
        make(est, directory).train(rows(), steps=2, hooks=[Bad(), Notes(calls)])
    except KeyError:
        return calls
    return "no error"


@program(THEME)
def assign_in_a_hook(est: Any, directory: str) -> Any:
    class Reset(v1.train.SessionRunHook):  # type: ignore[misc, name-defined]
        def begin(self) -> None:
            (w,) = [v for v in v1.global_variables() if v.op.name == "w"]
            self.value = v1.placeholder(tf.float32, [])
            self.op = v1.assign(w, self.value)

        def after_create_session(self, session: Any, coord: Any) -> None:
            session.run(self.op, {self.value: 3.0})

        def after_run(self, run_context: Any, run_values: Any) -> None:
            run_context.session.run(self.op, feed_dict={self.value: 1.0})

    return variables(make(est, directory).train(rows(), steps=2, hooks=[Reset()]))


@program(THEME)
def feed_in_a_hook(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        w = v1.get_variable("w", [], initializer=v1.zeros_initializer())
        rate = v1.placeholder_with_default(0.5, [], name="rate")
        loss = (w - 1) ** 2
        train_op = v1.train.GradientDescentOptimizer(rate).minimize(loss, v1.train.get_global_step())
        return est.EstimatorSpec(mode, loss=loss, train_op=train_op)

    hook = v1.train.FeedFnHook(lambda: {"rate:0": 0.1})
    return variables(make(est, directory, model_fn).train(rows(), steps=1, hooks=[hook]))


def _tags(directory: str) -> list[Any]:
    files = sorted(glob.glob(os.path.join(directory, "events*")))
    found = {(v.tag, e.step) for f in files for e in v1.train.summary_iterator(f) for v in e.summary.value}
    return sorted(found)


SUMMARIES = {"each": 1, "second": 2, "never": None, "zero": 0, "rarely": 100}
for _name, _steps in SUMMARIES.items():

    def _summaries(est: Any, directory: str, steps: Any = _steps) -> Any:
        more = {"train": lambda p, y, loss, w, b: {"loss": loss} if v1.summary.scalar("mine", w) is not None else {}}
        config = {"save_summary_steps": steps}
        make(est, directory, line_model(est, **more), config).train(rows(), steps=5)
        return _tags(directory)

    add(THEME, f"summaries {_name}", _summaries)


@program(THEME)
def summary_saver_hook(est: Any, directory: str) -> Any:
    more = {
        "train": lambda p, y, loss, w, b: {
            "training_hooks": [v1.train.SummarySaverHook(2, output_dir=directory, summary_op=v1.summary.scalar("s", w))]
        }
    }
    make(est, directory, line_model(est, **more)).train(rows(), steps=5)
    return [tag for tag in _tags(directory) if tag[0] == "s"]


@program(THEME)
def step_counter_hook(est: Any, directory: str) -> Any:
    hook = v1.train.StepCounterHook(2, output_dir=directory)
    make(est, directory).train(rows(), steps=5, hooks=[hook])
    return _tags(directory)


@program(THEME)
def log_step_count_writes_the_speed(est: Any, directory: str) -> Any:
    make(est, directory, config={"log_step_count_steps": 2}).train(rows(), steps=5)
    return _tags(directory)


LOGGING = {
    "every_n_iter": {"every_n_iter": 2}, "at_end": {"at_end": True}, "every_n_secs=0": {"every_n_secs": 0},
    "none": {}, "both": {"every_n_iter": 1, "every_n_secs": 1}, "every_n_iter=0": {"every_n_iter": 0},
}  # fmt: skip
for _name, _arguments in LOGGING.items():

    def _logging(est: Any, directory: str, arguments: Any = _arguments) -> Any:
        said: list[Any] = []
        hook = v1.train.LoggingTensorHook(
            ["w_value:0"], formatter=lambda v: said.append(v["w_value:0"]) or "", **arguments
        )
        make(est, directory).train(rows(), steps=5, hooks=[hook])
        return said

    add(THEME, f"logging {_name}", _logging)


@program(THEME)
def final_ops_hook(est: Any, directory: str) -> Any:
    hook: list[Any] = []

    class Last(v1.train.SessionRunHook):  # type: ignore[misc, name-defined]
        def begin(self) -> None:
            (w,) = [v for v in v1.global_variables() if v.op.name == "w"]
            hook.append(v1.train.FinalOpsHook({"w": v1.identity(w) if hasattr(v1, "identity") else tf.identity(w)}))

        def end(self, session: Any) -> None:
            hook[0].end(session)

    make(est, directory).train(rows(), steps=2, hooks=[Last()])
    return hook[0].final_ops_values


@program(THEME)
def checkpoint_saver_hook(est: Any, directory: str) -> Any:
    hook = v1.train.CheckpointSaverHook(directory, save_steps=2)
    make(est, directory).train(rows(), steps=5, hooks=[hook])
    return sorted(os.path.basename(p) for p in glob.glob(os.path.join(directory, "*.index")))


class _Listener(v1.train.CheckpointSaverListener):  # type: ignore[misc, name-defined]
    def __init__(self, calls: list[Any], stop_at: int | None = None) -> None:
        self.calls, self.stop_at = calls, stop_at

    def begin(self) -> None:
        self.calls.append("begin")

    def before_save(self, session: Any, global_step_value: int) -> None:
        self.calls.append(f"before {global_step_value}")

    def after_save(self, session: Any, global_step_value: int) -> Any:
        self.calls.append(f"after {global_step_value}")
        return self.stop_at is not None and global_step_value >= self.stop_at

    def end(self, session: Any, global_step_value: int) -> None:
        self.calls.append(f"end {global_step_value}")


for _name, _config, _steps, _stop in (
    ("often", {"save_checkpoints_steps": 2}, 5, None),
    ("at both ends", {"save_checkpoints_steps": 100}, 3, None),
    ("until one stops", {"save_checkpoints_steps": 1}, 9, 2),
    ("without checkpoints", {"save_checkpoints_steps": None, "save_checkpoints_secs": None}, 3, None),
):

    def _listen(est: Any, directory: str, config: Any = _config, steps: int = _steps, stop: Any = _stop) -> Any:
        calls: list[Any] = []
        made = make(est, directory, config=config)
        made.train(rows(), steps=steps, saving_listeners=[_Listener(calls, stop)])
        return calls

    add(THEME, f"listener {_name}", _listen)


@program(THEME)
def session_run_in_after_run(est: Any, directory: str) -> Any:
    seen: list[Any] = []

    class Look(v1.train.SessionRunHook):  # type: ignore[misc, name-defined]
        def before_run(self, run_context: Any) -> Any:
            return v1.train.SessionRunArgs({"step": v1.train.get_global_step()})

        def after_run(self, run_context: Any, run_values: Any) -> None:
            seen.append((run_values.results["step"], run_context.session.run("w_value:0"), run_context.stop_requested))

    make(est, directory).train(rows(), steps=2, hooks=[Look()])
    return [(int(step), float(w), bool(stop)) for step, w, stop in seen]


for _name, _value in (("no hook", [5]), ("a string", ["hook"]), ("not in a list", v1.train.StopAtStepHook(1))):
    add(THEME, f"bad {_name}", lambda est, d, hooks=_value: make(est, d).train(rows(), steps=1, hooks=hooks))
add(THEME, "bad listener", lambda est, d: make(est, d).train(rows(), steps=1, saving_listeners=[1]))
for _name in ("SecondOrStepTimer", "StopAtStepHook", "CheckpointSaverHook", "LoggingTensorHook", "SummarySaverHook",
              "NanTensorHook", "FinalOpsHook", "FeedFnHook", "GlobalStepWaiterHook", "StepCounterHook", "ProfilerHook",
              "SessionRunHook", "CheckpointSaverListener", "SessionRunArgs", "SessionRunContext",
              "SessionRunValues"):  # fmt: skip
    add(THEME, f"name {_name}", lambda est, d, name=_name: hasattr(est, name))
for _name, _arguments in (("every_secs=0", {"every_secs": 0}), ("every_steps", {"every_steps": 2}), ("none", {}),
                          ("both", {"every_secs": 1, "every_steps": 1})):  # fmt: skip

    def _timer(est: Any, directory: str, arguments: Any = _arguments) -> Any:
        timer = v1.train.SecondOrStepTimer(**arguments)
        due = []
        for step in range(1, 6):
            due.append(timer.should_trigger_for_step(step))
            if due[-1]:
                timer.update_last_triggered_step(step)
        return due, timer.last_triggered_step()

    add(THEME, f"timer {_name}", _timer)
