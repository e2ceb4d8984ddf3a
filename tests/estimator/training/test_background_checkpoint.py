"""Checkpoints written by a second thread: what the training sees of it, and what is on disk when."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.linear_model import X, Y, by_hand, make, rows
from tf_estimator.checkpoint import files
from tf_estimator.training import saver

v1 = tf.compat.v1
WAIT_S = 30


class Gate:
    """Holds the background thread's writes until it is opened."""

    def __init__(self) -> None:
        self.passed = threading.Event()
        self.held: list[str] = []
        self.error: Exception | None = None
        self._write = files.write

    def write(self, prefix: str, *given: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.held.append(Path(prefix).name)
            assert self.passed.wait(WAIT_S)
            if self.error is not None:
                raise self.error
        self._write(prefix, *given)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate()
    monkeypatch.setattr(files, "write", made.write)
    monkeypatch.setattr(saver, "BACKGROUND_BYTES", 0)
    yield made
    made.passed.set()


class At(v1.train.SessionRunHook):
    """Calls a function after a step of this run."""

    def __init__(self, step: int, call: Any) -> None:
        self.step, self.call, self.done = step, call, 0

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.done += 1
        if self.done == self.step:
            self.call()


class Told(est.CheckpointSaverListener):
    """Notes when it is called, by which thread, and what is on disk then."""

    def __init__(self, directory: Path, asynchronous: bool, stop_at: int = -1) -> None:
        self.directory, self.asynchronous, self.stop_at = directory, asynchronous, stop_at
        self.calls: list[tuple[str, int, bool]] = []

    def before_save(self, session: Any, step: int) -> None:
        self._note("before", step)

    def after_save(self, session: Any, step: int) -> bool:
        self._note("after", step)
        return step == self.stop_at

    def end(self, session: Any, step: int) -> None:
        self._note("end", step)

    def _note(self, what: str, step: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.calls.append((what, step, files.exists(str(self.directory / f"model.ckpt-{step}"))))


def columns() -> Any:
    return est.inputs.columns_input_fn({"x": X}, Y, batch_size=10, shuffle=True, seed=5)


def test_training_goes_on_and_the_checkpoint_holds_its_own_step(tmp_path: Path, gate: Gate) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    keep = est.hooks.KeepInputPosition()
    make(cut, background_checkpoints=False).train(columns(), max_steps=4, hooks=[keep])
    seen: list[str | None] = []

    def look() -> None:
        seen.append(estimator.latest_checkpoint())
        gate.passed.set()

    estimator = make(whole, save_checkpoints_steps=4, keep_checkpoint_max=None)
    # The first save is held until step 3, so that the one of step 4 begins with its thread free.
    estimator.train(columns(), max_steps=7, hooks=[At(3, look)])
    assert seen == [None]
    assert gate.held == ["model.ckpt-0", "model.ckpt-4"]
    assert files.known(str(whole)) == ["model.ckpt-0", "model.ckpt-4", "model.ckpt-7"]
    one, other = (files.CheckpointReader(f"{d}/model.ckpt-4") for d in (whole, cut))
    for name in one.shapes:
        np.testing.assert_array_equal(one.value(name), other.value(name), err_msg=name)
    resumed = make(cut, background_checkpoints=False).train(columns(), max_steps=7)
    np.testing.assert_array_equal(resumed.get_variable_value("w"), estimator.get_variable_value("w"))


def test_the_next_save_waits_for_the_one_before(tmp_path: Path, gate: Gate) -> None:
    threading.Timer(0.5, gate.passed.set).start()
    make(tmp_path, save_checkpoints_steps=1, keep_checkpoint_max=None).train(rows(), steps=4)
    assert files.known(str(tmp_path)) == [f"model.ckpt-{n}" for n in range(5)]
    assert gate.held == [f"model.ckpt-{n}" for n in range(5)]
    assert est.Estimator.latest_checkpoint(make(tmp_path)) == str(tmp_path / "model.ckpt-4")


def test_listener_that_may_wait_is_told_in_the_training_thread_when_the_files_are_there(
    tmp_path: Path, gate: Gate
) -> None:
    told = Told(tmp_path, asynchronous=True)
    opened = At(3, gate.passed.set)
    make(tmp_path, save_checkpoints_steps=4).train(rows(), steps=6, hooks=[opened], saving_listeners=[told])
    assert [(what, there) for what, step, there in told.calls if step == 0] == [("before", False), ("after", True)]
    assert told.calls.index(("after", 0, True)) < told.calls.index(("before", 4, False))
    assert told.calls[-4:] == [("after", 4, True), ("before", 6, False), ("after", 6, True), ("end", 6, True)]


def test_listener_that_may_not_wait_is_told_at_the_step(tmp_path: Path, gate: Gate) -> None:
    lax, strict = Told(tmp_path, asynchronous=True), Told(tmp_path, asynchronous=False)
    make(tmp_path, save_checkpoints_steps=2).train(rows(), steps=2, saving_listeners=[lax, strict])
    assert gate.held == []
    assert strict.calls == [
        *(("before", 0, False), ("after", 0, True)),
        *(("before", 2, False), ("after", 2, True)),
        ("end", 2, True),
    ]


def test_listener_can_stop_the_training_late(tmp_path: Path, gate: Gate) -> None:
    gate.passed.set()
    told = Told(tmp_path, asynchronous=True, stop_at=2)
    make(tmp_path, save_checkpoints_steps=2).train(rows(), steps=1000, saving_listeners=[told])
    last = files.step_of(str(make(tmp_path).latest_checkpoint()))
    assert 2 <= last <= 4  # at the save after it at the latest
    assert told.calls[-1] == ("end", last, True)


def test_configuration_can_forbid_the_background(tmp_path: Path, gate: Gate) -> None:
    make(tmp_path, background_checkpoints=False, save_checkpoints_steps=2).train(rows(), steps=4)
    assert gate.held == []


def test_error_of_the_write_ends_the_training_and_leaves_nothing(tmp_path: Path, gate: Gate) -> None:
    make(tmp_path, background_checkpoints=False).train(rows(), steps=2)
    before = {p.name for p in tmp_path.glob("model.ckpt*")} | {"checkpoint"}
    gate.error = OSError("No space left on device")
    gate.passed.set()
    estimator = make(tmp_path, save_checkpoints_steps=2)
    with pytest.raises(OSError, match="No space left"):
        estimator.train(rows(), steps=1000)
    assert {p.name for p in tmp_path.glob("*ckpt*")} | {"checkpoint"} == before
    assert gate.held == ["model.ckpt-4"]
    gate.error = None
    assert estimator.train(rows(), steps=1).get_variable_value("global_step") == 3


def test_disk_that_is_full_leaves_no_part_of_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path).train(rows(), steps=2)
    before = sorted(p.name for p in tmp_path.glob("*ckpt*"))
    state = (tmp_path / "checkpoint").read_bytes()
    replace = files.replace_file
    for suffix in (".meta", ".resume", "checkpoint"):

        def full(path: str, content: bytes, suffix: str = suffix) -> None:
            if path.endswith(suffix):
                raise OSError("No space left on device")
            replace(path, content)

        monkeypatch.setattr(files, "replace_file", full)
        with pytest.raises(OSError, match="No space left"):
            make(tmp_path).train(rows(), steps=1)
        assert sorted(p.name for p in tmp_path.glob("*ckpt*")) == before
        assert (tmp_path / "checkpoint").read_bytes() == state


def test_write_is_finished_when_the_training_fails(tmp_path: Path, gate: Gate) -> None:
    def fail() -> None:
        threading.Timer(0.3, gate.passed.set).start()
        raise RuntimeError("A hook of the user's failed.")

    told = Told(tmp_path, asynchronous=True)
    with pytest.raises(RuntimeError, match="of the user's"):
        make(tmp_path).train(rows(), steps=5, hooks=[At(2, fail)], saving_listeners=[told])
    assert make(tmp_path).latest_checkpoint() == str(tmp_path / "model.ckpt-0")
    assert told.calls == [("before", 0, False), ("after", 0, True)]


def test_values_that_went_on_are_not_taken_for_the_checkpoint(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError("stop")

    estimator = make(tmp_path, save_checkpoints_steps=3)
    with pytest.raises(RuntimeError, match="stop"):
        estimator.train(rows(), steps=9, hooks=[At(5, fail)])
    assert estimator.evaluate(rows(5)) == make(tmp_path).evaluate(rows(5))
    trained = estimator.train(rows(), steps=1)
    np.testing.assert_allclose(trained.get_variable_value("w"), by_hand(4), rtol=1e-5)


def test_nan_variables_end_the_training_and_are_not_saved(tmp_path: Path, gate: Gate) -> None:
    def explode(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        w = v1.get_variable("w", [1], initializer=v1.ones_initializer())
        step = v1.train.get_global_step()
        with tf.control_dependencies([v1.assign(w, tf.where(step >= 2, [np.nan], [1.0]))]):
            return est.EstimatorSpec(mode, loss=tf.constant(1.0), train_op=v1.assign_add(step, 1))

    gate.passed.set()
    estimator = make(tmp_path, model=explode, save_checkpoints_steps=2)
    with pytest.raises(est.NanLossDuringTrainingError, match=r"\['w'\]"):
        estimator.train(rows(), steps=10)
    assert estimator.latest_checkpoint() == str(tmp_path / "model.ckpt-2")


def test_files_of_a_killed_write_are_removed_and_others_are_not(tmp_path: Path) -> None:
    make(tmp_path).train(rows(), steps=2)
    left = [
        "model.ckpt-7.tmp-0123abcd.data-00000-of-00001",
        "model.ckpt-7.tmp-0123abcd.index.tempstate9",
        "model.ckpt-7.resume.tmp-0123abcd",
        "checkpoint.tmp-0123abcd",
    ]
    others = ["notes.tmp-0123abcd", "model.ckpt-7.tmp-mine", "model.ckpt-x.tmp-0123abcd"]
    for name in left + others:
        (tmp_path / name).write_bytes(b"part")
    make(tmp_path).train(rows(), steps=1)
    assert sorted(p.name for p in tmp_path.glob("*.tmp-*")) == sorted(others)


def test_snapshot_stays_while_a_compiled_program_updates(tmp_path: Path, gate: Gate) -> None:
    features = {f"x{i}": np.ascontiguousarray(X[:, i]) for i in range(X.shape[1])}
    then: dict[str, Any] = {}

    class Look(est.CheckpointSaverListener):
        asynchronous = True

        def before_save(self, session: Any, step: int) -> None:
            if step == 0:
                variables = v1.global_variables()
                then.update(zip((v.op.name for v in variables), session.run(variables), strict=True))

    numeric = [tf.feature_column.numeric_column(name) for name in features]
    config = est.RunConfig(tf_random_seed=3, jit_compile=True, log_step_count_steps=None, save_summary_steps=None)
    data = est.inputs.columns_input_fn(features, Y, batch_size=10, shuffle=True, seed=5)

    estimator = est.DNNRegressor([4], numeric, str(tmp_path), config=config)
    threading.Timer(3, gate.passed.set).start()
    estimator.train(data, max_steps=3000, saving_listeners=[Look()])
    assert gate.held == ["model.ckpt-0"]
    reader = files.CheckpointReader(str(tmp_path / "model.ckpt-0"))
    found = {name for name in then if name in reader.shapes}
    assert "dnn/hiddenlayer_0/kernel" in found
    for name in found:
        np.testing.assert_array_equal(reader.value(name), then[name], err_msg=name)
