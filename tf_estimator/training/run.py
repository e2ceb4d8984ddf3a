"""The training run: hooks, and the loop that does many steps per call until a hook is due."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from ..distribution.peers import ClusterPeers
from ..errors import EmptyInputError, NanLossDuringTrainingError
from ..graph.fetches import element_of
from ..graph.traced_model import TracedModel
from ..inputs.source import BatchSource
from ..keys import GLOBAL_STEP
from ..loop.functions import multi_step
from ..loop.step_function import LoopFunction
from ..run_config import RunConfig
from ..variables import VariableSet
from .builtin_hooks import Events, KeepInputPosition, LogProgress, SaveCheckpoints, WriteSummaries
from .hook_runner import HookRunner
from .scaffold import offer_saver
from .stall_detector import StallDetector
from .training_session import TrainingSession

v1 = tf.compat.v1
log = logging.getLogger("tf_estimator")

#: Seconds that one call may run, about: so long a signal, a cancelled job or a timed checkpoint may wait.
CALL_SECONDS = 0.5


class TrainingRun:
    """One call of `Estimator.train`, its state prepared.

    Args:
        trace: the TRAIN trace.
        state: the variables that are trained.
        source: the batches.
        directory: the model directory.
        config: intervals and limits.
        hooks: the user's.
        listeners: checkpoint listeners.
        peers: the other processes, if there are any.
    """

    def __init__(
        self,
        trace: TracedModel,
        state: VariableSet,
        source: BatchSource,
        directory: str,
        config: RunConfig,
        hooks: Sequence[Any],
        listeners: Sequence[Any],
        peers: ClusterPeers | None = None,
    ) -> None:
        self._trace = trace
        self._peers = peers
        self._state = state
        self._source = source
        self.session = TrainingSession(trace, state, source, directory, config, listeners)
        self._saver = self.session.saver
        spec = trace.spec
        loss = element_of(trace.variables, spec.loss)
        self._base = [loss, *trace.train_ops]
        self._saving: SaveCheckpoints | None = None
        self._events = Events(trace, directory)
        own: list[Any] = []
        everybody = [*(spec.training_chief_hooks if config.is_chief else ()), *hooks, *spec.training_hooks]
        self._keeps_position = any(isinstance(hook, KeepInputPosition) for hook in everybody)
        if config.is_chief:
            own = self._builtin_hooks(config, loss, everybody)
        self._hook_runner = HookRunner([*everybody, *own], trace, self.session, self._base, late=trace.strategy is None)
        self._rate = 0.0
        self._compiled = source.compiled_steps if config.jit_compile else 0
        if config.jit_compile and not self._compiled:
            log.info(
                "jit_compile needs an endless columns_input_fn of dense numbers and one replica; this training is not "
                "compiled."
            )
        self._stall = StallDetector(trace)

    def _builtin_hooks(self, config: RunConfig, loss: tf.Tensor, hooks: list[Any]) -> list[Any]:
        builtin: list[Any] = []
        if config.log_step_count_steps:
            builtin.append(LogProgress(self._events, config.log_step_count_steps, loss))
        summary = self._summary_op()
        if config.save_summary_steps and summary is not None:
            builtin.append(WriteSummaries(self._events, config.save_summary_steps, summary))
        saving = [hook for hook in hooks if isinstance(hook, v1.train.CheckpointSaverHook)]
        if saving:
            # As in tf.estimator: a hook of the user's replaces ours, and gets our listeners.
            getattr(saving[0], "listeners", saving[0]._listeners).extend(self._saver.listeners)
            offer_saver(self._trace, config.keep_checkpoint_max, config.keep_checkpoint_every_n_hours)
        else:
            self._saving = SaveCheckpoints(self._saver, config)
            builtin.append(self._saving)
        return builtin

    def _summary_op(self) -> Any:
        given = getattr(self._trace.spec.scaffold, "summary_op", None)
        if given is not None:
            return given

        def merge() -> Any:
            with self._trace.graph.as_default():
                return v1.summary.merge_all()

        return self._trace.memo.get("merged summaries", merge)

    def begin(self) -> None:
        """Calls the hooks' `begin`; they may still add to the graph."""
        self._hook_runner.begin()

    def run(self, goal: int | None, *, save_first: bool) -> None:
        """Trains until the global step is `goal`, the input ends, or a hook stops it; saves at the end.

        Args:
            goal: global step to stop at; None for as long as the input lasts.
            save_first: whether to save before the first step.

        Raises:
            EmptyInputError: the input ended before one step.
            NanLossDuringTrainingError: the loss or a variable is not finite.
            GlobalStepError: `goal` is given, and no step of the model raises the global step.
        """
        try:
            self._run(goal, save_first)
        except BaseException:
            self._saver.abandon()
            self._events.write()
            raise
        self._saver.close()

    def _run(self, goal: int | None, save_first: bool) -> None:
        self._trace.captures.broadcast(self._state)
        step = first = self._step()
        if self._saving is not None:
            self._saver.open()
            if self._saving.start(step, save=save_first, goal=None if self._keeps_position else goal):
                self._saver.settle()
                if self._peers is None:
                    return
                self._hook_runner.stop_requested = True  # the other processes learn it before the first step
        self._hook_runner.set_step(step)
        self._hook_runner.after_create_session()
        ended = False
        while goal is None or step < goal:
            stops, ended = self._stops()
            if stops or ended:
                break
            before = step
            with _end_of_input() as end:
                step = self._advance(step, goal)
            self._stall.watch(before, step, goal)
            if self._saver.poll():
                self._hook_runner.stop_requested = True
            if end:
                ended, step = True, self._step()
                self._source.advance(max(step - before, 0))
                break
        if ended and step == first and save_first and not self._stall.stands_still:
            raise EmptyInputError("input_fn ended before it gave one batch; return at least one batch of rows.")
        ended = ended or not self._keeps_position
        if self._saving is not None:
            self._saving.note_end(by_itself=ended, unsaved=self._stall.batches > 0)
        self._hook_runner.set_step(step)
        self._hook_runner.end()
        if ended:
            self._saver.forget_position()
        self._events.flush()
        self.session.close()

    def _stops(self) -> tuple[bool, bool]:
        """Whether a hook asked to stop, and whether the input has ended, if that is known before the step."""
        if self._peers is None:
            return self._hook_runner.stop_requested, False
        # A process that continued alone would wait for the others' gradients forever.
        stops, ends = self._peers.all_reduce_flags(self._hook_runner.stop_requested, self._source.limit(1) < 1)
        return stops > 0, ends > 0

    def _advance(self, step: int, goal: int | None) -> int:
        """Does at least one step; returns the global step after it."""
        self._state.mark_modified()  # the values leave the checkpoint that they came from, or were saved to
        hooks, due = self._hook_runner.due(step)
        ends = [n for n in (None if due is None else due - 1, goal) if n is not None]
        limits = [n for n in (self._call_limit(), self._hook_runner.most_later(step)) if n is not None]
        wanted = min([end - step for end in ends] + limits)
        count = self._source.limit(max(wanted, 1))
        if count < 1:
            raise tf.errors.OutOfRangeError(None, None, "The input has ended.")
        # Late hooks alone get the values of one step in the way in which they get those of many: it is made already.
        if wanted < 1 or (count == 1 and not self._hook_runner.late):
            started = time.perf_counter()
            loss, after = self._hook_runner.step(hooks, self._source, self._state, GLOBAL_STEP)
            self._stall.batches += 1
            if 0 < self._rate * CALL_SECONDS < 2:
                # After one slow call, in which something was compiled, steps would be done singly forever.
                self._rate = 1 / max(time.perf_counter() - started, 1e-9)
            _check_loss(float(loss), after)
            return int(after)
        return self._repeat(count, goal, step)

    def _repeat(self, count: int, goal: int | None, step: int) -> int:
        if self._hook_runner.late:
            return self._repeat_with_values(count, goal)
        # Fewer steps are not worth it: the program gathers all the batches that it can take.
        compiled = count >= self._compiled // 2 > 0
        loop = self._trace.memo.get(("repeat", self._source.signature, compiled), lambda: self._multi_step(compiled))
        started = time.perf_counter()
        limit = 2**62 if goal is None else goal
        if compiled:
            count = min(count, self._compiled)
        done, after, loss = loop(count, limit, self._source, self._state)
        self._source.advance(done)
        self._stall.batches += done
        self._rate = done / max(time.perf_counter() - started, 1e-9)
        _check_loss(loss, after)
        return int(after)

    def _repeat_with_values(self, count: int, goal: int | None) -> int:
        """As `_repeat`, with hooks that get the values of each step afterwards."""
        started = time.perf_counter()
        limit = 2**62 if goal is None else goal
        done, after, loss, error = self._hook_runner.steps(count, limit, self._source, self._state, GLOBAL_STEP)
        self._stall.batches += done
        if error is not None:
            raise error
        self._rate = done / max(time.perf_counter() - started, 1e-9)
        _check_loss(loss, after)
        return after

    def _multi_step(self, compiled: bool) -> LoopFunction:
        return multi_step(self._trace, self._base, self._source, GLOBAL_STEP, compiled=compiled)

    def _call_limit(self) -> int:
        """How many steps fit one call."""
        return max(int(self._rate * CALL_SECONDS), 1) if self._rate else max(self._compiled, 32)

    def _step(self) -> int:
        return int(self._state[GLOBAL_STEP].numpy())


def _check_loss(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise NanLossDuringTrainingError(
            f"The loss became {loss} at global step {step}. Lower the learning rate, clip gradients, or look for bad "
            "values in the input. The last checkpoint is untouched.",
            step,
        )


@contextlib.contextmanager
def _end_of_input() -> Iterator[list[bool]]:
    """Catches the end of the input; the list is then not empty."""
    end: list[bool] = []
    try:
        yield end
    except (tf.errors.OutOfRangeError, StopIteration):
        end.append(True)
