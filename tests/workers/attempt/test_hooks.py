from __future__ import annotations

import errno
import time
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf

import tf_estimator as est
from app.errors import InvalidInput, NotFound
from app.jobs.spec import Promote
from app.jobs.state import ErrorKind, VersionState
from workers.attempt import hooks
from workers.attempt.hooks import EachStepHook, ProgressHook, progress_hook, series_interval
from workers.attempt.progress import ProgressBuffer
from workers.attempt.stop import Stop, StopSignal
from workers.jobs.export import judge
from workers.trainer.explain import explain


@pytest.mark.parametrize(
    ("max_steps", "interval"), [(1, 1), (200, 1), (201, 2), (2000, 10), (2001, 20), (10**6, 5000), (None, 50)]
)
def test_series_has_at_most_two_hundred_points(max_steps: int | None, interval: int) -> None:
    assert series_interval(max_steps) == interval


def test_hook_is_due_at_points_of_the_series_only() -> None:
    stop_signal = StopSignal()
    hook = ProgressHook(stop_signal, ProgressBuffer(), 2000)
    assert hook.next_step(0) == 1  # the first step is told at once
    hook.after_run(Context(), Values(0.5))
    hook._begun -= 1.0  # type: ignore[operator]  # as if that step had been a second ago
    assert hook.next_step(1001) == 1010  # a thousand steps a second: the whole way to the next point
    stop_signal.request(Stop.CANCEL)
    assert hook.next_step(1001) == 1002


class Context:
    stopped = False

    def request_stop(self) -> None:
        self.stopped = True


class Values:
    def __init__(self, results: float) -> None:
        self.results = results


def test_slow_steps_are_looked_at_one_by_one() -> None:
    hook = ProgressHook(StopSignal(), ProgressBuffer(), 2000)
    hook.next_step(0)
    hook.after_run(Context(), Values(0.5))
    hook._begun -= 10.0  # type: ignore[operator]
    assert hook.next_step(11) == 12  # a step a second


def test_short_job_is_handed_the_values_of_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(hooks, "time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    stop_signal, progress = StopSignal(), ProgressBuffer()
    hook = progress_hook(stop_signal, progress, 1000)
    assert isinstance(hook, EachStepHook) and isinstance(progress_hook(stop_signal, progress, 1001), ProgressHook)
    assert hook.most_later(0) == 1  # the first step is told at once
    hook.after_run(Context(), Values(0.5))
    assert hook.most_later(1) == 1  # how fast it goes is not known yet
    hook.after_run(Context(), Values(0.5))
    now[0] = 1.0
    assert hook.most_later(2) == 1
    for loss in range(98):
        hook.after_run(Context(), Values(float(loss)))
    assert hook.most_later(100) == 29  # 99 steps in a second, of which three tenths
    assert [point[:2] for point in progress.points()] == [("loss", 1), *(("loss", step) for step in range(5, 101, 5))]
    hook.end(None)
    assert [point[:2] for point in progress.points() if point[0] != "loss"] == [("steps_per_s", 100)]
    stop_signal.request(Stop.CANCEL)
    assert hook.most_later(100) == 1


def test_progress_is_told_between_the_points_of_a_long_series() -> None:
    progress = ProgressBuffer()
    hook = ProgressHook(StopSignal(), progress, 10**9)
    hook.next_step(0)
    hook.after_run(Context(), Values(0.25))
    hook.next_step(1234)  # the next point is at 5,000,000
    assert progress.values["step"] == 1234
    assert progress.values["loss"] == 0.25


def test_stop_request_ends_the_loop_and_progress_is_told() -> None:
    stop_signal, progress, context = StopSignal(), ProgressBuffer(), Context()
    hook = ProgressHook(stop_signal, progress, 100)
    hook.next_step(0)
    hook.after_run(context, Values(0.25))
    assert not context.stopped
    assert progress.points()[0] == ("loss", 1, 0.25)
    stop_signal.request(Stop.DRAIN)
    hook.next_step(1)
    hook.after_run(context, Values(0.125))
    assert context.stopped
    assert (progress.values["step"], progress.values["loss"], progress.values["max_steps"]) == (2, 0.125, 100)


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (est.NanLossDuringTrainingError("x", 7), ErrorKind.NAN_LOSS, "step 7"),
        (InvalidInput("Column 'a' is bad."), ErrorKind.INVALID_DATA, "Column 'a' is bad."),
        (NotFound("gone"), ErrorKind.INVALID_SPEC, "gone"),
        (MemoryError(), ErrorKind.OUT_OF_MEMORY, "smaller"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), ErrorKind.OUT_OF_MEMORY, "smaller"),
        (tf.errors.ResourceExhaustedError(None, None, "x; No space left on device"), ErrorKind.DISK_FULL, "full"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), ErrorKind.DISK_FULL, "full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/data/x"), ErrorKind.DISK_FULL, "full"),
        (OSError(errno.EFBIG, "File too large", "/data/x"), ErrorKind.DISK_FULL, "larger than the system allows"),
        (OSError("Checkpoint could not be written: x; File too large"), ErrorKind.DISK_FULL, "larger than the system"),
        (tf.errors.OutOfRangeError(None, None, "/data/x; File too large"), ErrorKind.DISK_FULL, "larger than the"),
        (OSError("Checkpoint could not be written: No space left on device"), ErrorKind.DISK_FULL, "full"),
        (ValueError("bad thing at /root/secret/file.py\nmore"), ErrorKind.INTERNAL, "ValueError: bad thing at …"),
        (tf.errors.InvalidArgumentError(None, None, "{{node x}} out of range"), ErrorKind.INVALID_DATA, "out of range"),
        (RuntimeError("password=hunter2"), ErrorKind.INTERNAL, "RuntimeError; see the job's log."),
    ],
)
def test_failure_is_explained_without_paths_or_traceback(error: Any, kind: ErrorKind, word: str) -> None:
    found, detail = explain(error)
    assert found == kind
    assert word in detail
    assert "/" not in detail
    assert "{{" not in detail
    assert "hunter2" not in detail


@pytest.mark.parametrize(
    ("promote", "metrics", "skew", "state", "word"),
    [
        (None, None, 0.0, VersionState.STORED, None),
        ({"label": "latest", "when": None}, None, None, VersionState.STAGED, None),
        ({"label": "latest", "when": None}, None, 0.5, VersionState.REFUSED, "0.5"),
        ({"label": "latest", "when": None}, None, float("nan"), VersionState.REFUSED, "nan"),
        ({"label": "l", "when": {"metric": "auc", "at_least": 0.9}}, {"auc": 0.9}, 0.0, VersionState.STAGED, None),
        ({"label": "l", "when": {"metric": "auc", "at_least": 0.9}}, {"auc": 0.8}, 0.0, VersionState.REFUSED, "auc"),
        (
            {"label": "l", "when": {"metric": "auc", "at_least": 0.9}},
            {"loss": 1},
            0.0,
            VersionState.REFUSED,
            "no value",
        ),
        ({"label": "l", "when": {"metric": "loss", "at_most": 0.1}}, {"loss": 0.2}, 0.0, VersionState.REFUSED, "over"),
        ({"label": "l", "when": {"metric": "loss", "at_most": 0.1}}, None, 0.0, VersionState.REFUSED, "no value"),
    ],
)
def test_gate_says_yes_or_why_not(
    promote: Any, metrics: Any, skew: float | None, state: VersionState, word: str | None
) -> None:
    found, reason = judge(None if promote is None else Promote.model_validate(promote), metrics, skew, 1e-3)
    assert found is state
    assert (word in reason) if word else reason is None
