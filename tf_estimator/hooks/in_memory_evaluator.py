"""`InMemoryEvaluatorHook`: evaluates while training, without a checkpoint in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..estimator import Estimator
from ..graph.threads import in_fresh_thread
from ..keys import ModeKeys
from ..training.evaluation import evaluate
from .scheduled import Scheduled
from .session_run_hook import SessionRunHook
from .timer import SecondOrStepTimer


class InMemoryEvaluatorHook(Scheduled, SessionRunHook):  # type: ignore[misc]
    """Evaluates with the variables as they are: before the first step, every N steps, and at the end.

    The summaries go where `Estimator.evaluate(name=name)` writes its own.

    Args:
        estimator: the one that is trained.
        input_fn: see `Estimator.evaluate`.
        steps: batches of one evaluation, None for all.
        hooks: session-run hooks of the evaluations.
        name: name of the evaluation.
        every_n_iter: steps between evaluations.

    Raises:
        ValueError: `every_n_iter` is not positive.
        TypeError: `estimator` is no Estimator.
    """

    def __init__(
        self,
        estimator: Estimator,
        input_fn: Callable[..., Any],
        steps: int | None = None,
        hooks: Sequence[Any] | None = None,
        name: str | None = None,
        every_n_iter: int = 100,
    ) -> None:
        if not isinstance(estimator, Estimator):
            raise TypeError(f"estimator must be an est.Estimator, not {type(estimator).__name__}.")
        if every_n_iter is None or every_n_iter <= 0:
            raise ValueError(f"every_n_iter must be > 0, not {every_n_iter}.")
        self.schedule = SecondOrStepTimer(every_steps=every_n_iter)
        self._estimator = estimator
        self._input_fn = input_fn
        self._steps, self._hooks, self._name = steps, list(hooks or ()), name

    def begin(self) -> None:
        self.find_global_step()

    def after_create_session(self, session: Any, coord: Any) -> None:
        self._evaluate(int(session.run(self.global_step_tensor)))

    def after_run(self, run_context: Any, run_values: Any) -> None:
        step = self.due_step(run_context)
        if step is not None:
            self._evaluate(step)

    def end(self, session: Any) -> None:
        step = int(session.run(self.global_step_tensor))
        if step != self.schedule.last_triggered_step():
            self._evaluate(step)

    def _evaluate(self, step: int) -> None:
        self.schedule.update_last_triggered_step(step)
        # A hook runs inside the graph, where nothing runs eagerly.
        in_fresh_thread(self._run)

    def _run(self) -> None:
        estimator = self._estimator
        runtime = estimator.model_runtime
        trace, source = runtime.trace_with_input(self._input_fn, ModeKeys.EVAL)
        evaluate(trace, runtime.present_state(trace), source, self._steps, self._hooks, estimator.eval_dir(self._name))
