"""The bar that shows a job while it is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from estimator_client.event_stream import Event


class JobBar:
    """A context manager; `show` takes a view of the job, `update` an event. Draws on standard error by default."""

    def __init__(self, console: Console | None = None, *, shown: bool = True) -> None:
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console or Console(stderr=True), disable=not shown)
        self._task = self._progress.add_task("QUEUED", total=None, numbers="")
        self._shown = shown

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.__exit__(kind, error, at)

    def show(self, job: Mapping[str, Any]) -> None:
        """Shows a job's view."""
        self._progress.update(self._task, description=job.get("state") or "QUEUED")
        self._show_progress(job.get("progress") or {})

    def update(self, event: Event) -> None:
        """Shows an event: a change of state, progress, or an evaluation."""
        if event.kind == "state":
            self._progress.update(self._task, description=event.data["state"])
        elif event.kind == "progress":
            self._show_progress(event.data)
        elif event.kind == "evaluation" and self._shown:
            metrics = event.data["metrics"]
            metrics = "  ".join(
                f"{name} {metrics[name]:.4g}" for name in metrics if isinstance(metrics[name], int | float)
            )
            self._progress.console.print(f"step {event.data['step']}: {metrics}", markup=False, highlight=False)

    def _show_progress(self, progress: Mapping[str, Any]) -> None:
        self._progress.update(
            self._task,
            completed=progress.get("step") or 0,
            total=progress.get("max_steps"),
            numbers=_numbers(progress),
        )


def _numbers(progress: Mapping[str, Any]) -> str:
    shown = [("loss", "loss {:.4g}"), ("steps_per_s", "{:,.0f} steps/s")]
    return "  ".join(form.format(progress[name]) for name, form in shown if progress.get(name) is not None)
