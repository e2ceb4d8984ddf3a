"""Session-run hooks of one run: which are due at a step, what they ask for, and the values they get."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from ..graph.direct_call import DefaultGraph
from ..graph.fetches import Fetches, feed_items, to_numpy
from ..graph.traced_model import TracedModel
from ..inputs.source import BatchSource
from ..loop.functions import single_step
from ..loop.kept_values import KeptValues, keep_values
from ..loop.step_function import StepFunction
from ..variables import VariableSet
from .builtin_hooks import BeforeCheckpointHook, BuiltinHook
from .session import EngineSession

v1 = tf.compat.v1


@dataclass
class _Plan:
    """How to run one step for a set of requests; `held` keeps what the cache compares by identity."""

    held: list[Any]
    signature: Any  # the source's
    fetches: list[Fetches | None]
    step: StepFunction
    names: list[str]
    wanted: list[tuple[int, str]]  # position and name of the outputs that hooks ask for
    feeds: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass
class _LatePlan:
    """How to run several steps for a set of requests; `values` is None where they have to run one by one."""

    held: list[Any]
    signature: Any
    fetches: list[Fetches | None]
    values: KeptValues | None


class HookRunner:
    """The hooks of one run.

    Args:
        hooks: session-run hooks, called in this order. One with `next_step(global_step)` is only called at the steps
            that it names; all others at each step.
        trace: what they hook into.
        session: given to them.
        base: tensors and operations that each step runs; the first tensor of them comes back from `step`.
        late: whether hooks with a true `values_later` may get their values after several steps, by `steps`.

    Attributes:
        late: those hooks.
    """

    def __init__(
        self,
        hooks: Sequence[Any],
        trace: TracedModel,
        session: EngineSession,
        base: Sequence[Any],
        *,
        late: bool = False,
    ) -> None:
        self.hooks = list(hooks)
        self.late = [hook for hook in self.hooks if _wants_values_later(hook)] if late else []
        self._builtin = [hook for hook in self.hooks if isinstance(hook, BuiltinHook)]
        self.stop_requested = False
        self._trace = trace
        self._graph = DefaultGraph(trace.graph)
        self._session = session
        self._base = list(base)
        self._original = v1.train.SessionRunArgs(list(base))
        self._plans: list[_Plan] = []  # those without feeds, the newest first
        self._late_plan: _LatePlan | None = None

    def begin(self) -> None:
        with self._trace.graph.as_default():
            for hook in self.hooks:
                hook.begin()

    def after_create_session(self) -> None:
        coordinator = tf.train.Coordinator()
        with self._trace.graph.as_default():
            for hook in self.hooks:
                hook.after_create_session(self._session, coordinator)

    def end(self) -> None:
        for hook in self.hooks:
            with self._context(hook):
                hook.end(self._session)

    def _context(self, hook: Any) -> contextlib.AbstractContextManager[Any]:
        """Users' hooks are called in the graph, as their code expects; built-in ones run eagerly."""
        return contextlib.nullcontext() if isinstance(hook, BuiltinHook) else self._trace.graph.as_default()

    def set_step(self, step: int | None) -> None:
        """Passes the step on to the built-in hooks."""
        if step is not None:
            for hook in self._builtin:
                hook.step = step

    def due(self, step: int) -> tuple[list[Any], int | None]:
        """The hooks to call for the step that makes `step + 1`, and the first step at which some hook is to be called.

        The latter is None if no hook wants any; the `late` ones want all steps and are not counted.
        """
        found, first = [], None
        for hook in self.hooks:
            if hook in self.late:
                found.append(hook)
                continue
            wanted = getattr(hook, "next_step", None)
            at = step + 1 if wanted is None else wanted(step)
            if at is None:
                continue
            if at <= step + 1:
                found.append(hook)
                first = step + 1
            elif first is None or at < first:
                first = int(at)
        return found, first

    def most_later(self, step: int) -> int | None:
        """How many steps the `late` hooks let pass before they get the values; None: any number."""
        limits = [hook.most_later(step) for hook in self.late if hasattr(hook, "most_later")]
        return min(limits, default=None)

    def step(
        self, hooks: Sequence[Any], source: BatchSource, state: VariableSet, counter: str | None
    ) -> tuple[Any, Any]:
        """Runs one step with `hooks` called around it.

        Returns:
            Value of the first tensor of `base` (None without one), and of the counter after the step.

        Raises:
            OutOfRangeError: the input has ended.
        """
        context, requests = self._ask(hooks)
        return self._one(hooks, context, requests, source, state, counter)

    def steps(
        self, count: int, goal: int, source: BatchSource, state: VariableSet, counter: str
    ) -> tuple[int, int, float, BaseException | None]:
        """Runs at most `count` steps, and then calls the `late` hooks for each of them.

        Returns:
            Steps done, value of the counter, last loss, and the error that ended the call, if one did.
        """
        context, requests = self._ask(self.late)
        plan = self._late_planned(requests, source, counter)
        if plan.values is None:
            loss, after = self._one(self.late, context, requests, source, state, counter)
            return 1, after, float(loss), None
        done, after, loss, kept, error = plan.values(count, goal, source, state)
        source.advance(done)
        with self._graph:
            for values in kept:
                for hook, request, fetches in zip(self.late, requests, plan.fetches, strict=True):
                    results = None if fetches is None else fetches.values(values)
                    options = getattr(request, "options", None)
                    hook.after_run(context, v1.train.SessionRunValues(results, options, v1.RunMetadata()))
        self.stop_requested |= context.stop_requested
        return done, after, loss, error

    def _ask(self, hooks: Sequence[Any]) -> tuple[Any, list[Any]]:
        """The context of a step, and what each hook requests in it."""
        context = v1.train.SessionRunContext(self._original, self._session)
        if not hooks:
            return context, []
        with self._graph:
            return context, [hook.before_run(context) for hook in hooks]

    def _one(
        self,
        hooks: Sequence[Any],
        context: Any,
        requests: list[Any],
        source: BatchSource,
        state: VariableSet,
        counter: str | None,
    ) -> tuple[Any, Any]:
        plan = self._planned(requests, source, counter)
        outputs = plan.step(source, state, [value for _, value in plan.feeds])
        source.advance(1)
        count = int(outputs[-1].numpy()) if counter is not None else None
        first = to_numpy(outputs[0]) if plan.names else None
        if hooks:
            self.set_step(count)
            self._hand_back(hooks, requests, plan, outputs, context)
        return first, count

    def _hand_back(
        self, hooks: Sequence[Any], requests: list[Any], plan: _Plan, outputs: list[tf.Tensor], context: Any
    ) -> None:
        values = {name: to_numpy(outputs[i]) for i, name in plan.wanted}
        graph_hooks: list[tuple[Any, Any]] = []
        own: list[tuple[Any, Any]] = []
        for hook, request, fetches in zip(hooks, requests, plan.fetches, strict=True):
            results = None if fetches is None else fetches.values(values)
            if getattr(getattr(request, "options", None), "trace_level", 0):
                raise NotImplementedError(
                    f"{type(hook).__name__} asks for a trace by RunOptions, and there is no session that records one. "
                    "Use est.ProfilerHook, or tf.profiler.experimental."
                )
            run_values = v1.train.SessionRunValues(results, getattr(request, "options", None), v1.RunMetadata())
            (own if isinstance(hook, BuiltinHook | BeforeCheckpointHook) else graph_hooks).append((hook, run_values))
        # The engine's own come first, as in tf.estimator: users' hooks find the checkpoint of the step.
        for hook, run_values in own:
            hook.after_run(context, run_values)
        if graph_hooks:  # In the graph, as users' code expects.
            with self._graph:
                for hook, run_values in graph_hooks:
                    hook.after_run(context, run_values)
        if context.stop_requested:
            self.stop_requested = True

    def _planned(self, requests: list[Any], source: BatchSource, counter: str | None) -> _Plan:
        held = [None if r is None else r.fetches for r in requests]
        if any(r is not None and r.feed_dict for r in requests):
            return self._plan(held, self._feeds(requests), source, counter)
        for old in self._plans:
            # A source may give one step's batches in another way than the next one's.
            if _same(old.held, held) and old.signature == source.signature:
                return old
        plan = self._plan(held, [], source, counter)
        # Two sets of requests take turns where summaries are due, or three with another hook.
        self._plans = [plan, *self._plans[:3]]
        return plan

    def _plan(self, held: list[Any], feeds: list[tuple[Any, Any]], source: BatchSource, counter: str | None) -> _Plan:
        fetches = [None if h is None else Fetches(self._trace.variables, h) for h in held]
        elements = {e.name: e for e in self._base}
        for part in fetches:
            elements.update({e.name: e for e in part.elements} if part is not None else {})
        step = single_step(self._trace, list(elements.values()), [t for t, _ in feeds], source, counter)
        names = [name for name, e in elements.items() if isinstance(e, tf.Tensor)]
        asked = {e.name for part in fetches if part is not None for e in part.elements}
        wanted = [(i, name) for i, name in enumerate(names) if name in asked]
        return _Plan(held, source.signature, fetches, step, names, wanted, feeds)

    def _late_planned(self, requests: list[Any], source: BatchSource, counter: str) -> _LatePlan:
        held = [None if r is None else r.fetches for r in requests]
        one_by_one = any(r is not None and (r.feed_dict or getattr(r.options, "trace_level", 0)) for r in requests)
        old = self._late_plan
        if old is not None and _same(old.held, held) and old.signature == source.signature and not one_by_one:
            return old
        fetches = [None if h is None else Fetches(self._trace.variables, h) for h in held]
        first, rest = self._base[0], {e.name: e for e in self._base[1:]}
        tensors = {first.name: first}
        for element in (e for part in fetches if part is not None for e in part.elements):
            (tensors if isinstance(element, tf.Tensor) else rest)[element.name] = element
        others = [element for name, element in rest.items() if name not in tensors]
        found = None if one_by_one else keep_values(self._trace, list(tensors.values()), others, source, counter)
        plan = _LatePlan(held, source.signature, fetches, found)
        if not one_by_one:
            self._late_plan = plan
        return plan

    def _feeds(self, requests: list[Any]) -> list[tuple[Any, Any]]:
        """The tensors that the requests feed, each with its value as a tensor."""
        feeds: dict[str, tuple[Any, Any]] = {}
        for request in requests:
            items = feed_items(self._trace.variables, request.feed_dict) if request is not None else {}
            if set(items) & set(feeds):
                raise RuntimeError(f"Two hooks feed the same tensor: {sorted(set(items) & set(feeds))}.")
            feeds.update(items)
        return [(tensor, tf.constant(np.asarray(value), tensor.dtype)) for tensor, value in feeds.values()]


def _wants_values_later(hook: Any) -> bool:
    return bool(getattr(hook, "values_later", False)) and not hasattr(hook, "next_step")


def _same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
