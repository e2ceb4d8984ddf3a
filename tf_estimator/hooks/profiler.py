"""`ProfilerHook`: what one step's time went into, now and then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from . import xplane
from .scheduled import Scheduled
from .timer import SecondOrStepTimer

_v1 = tf.compat.v1


class ProfilerHook(Scheduled, tf.compat.v1.train.SessionRunHook):  # type: ignore[misc]
    """Profiles single steps every N steps or seconds, the first one N steps or seconds after the start.

    Writes TensorBoard's profile below `output_dir/plugins/profile`, and `output_dir/timeline-<step>.json`, a Chrome
    trace of the same.

    Args:
        save_steps: steps between profiles.
        save_secs: seconds between profiles; exactly one of the two.
        output_dir: directory of the files.
        show_dataflow: no arrows are drawn in the Chrome trace, whatever is given: the profile has no edges.
        show_memory: only False.

    Raises:
        ValueError: none or both intervals given, or `show_memory`: the profile has no allocations on a CPU.
    """

    def __init__(
        self,
        save_steps: int | None = None,
        save_secs: float | None = None,
        output_dir: str = "",
        show_dataflow: bool = True,
        show_memory: bool = False,
    ) -> None:
        self.schedule = SecondOrStepTimer(save_secs, save_steps)
        if show_memory:
            raise ValueError(
                "ProfilerHook(show_memory=True): TensorFlow's profiler records no allocations for the Chrome trace. "
                "Leave the argument out; TensorBoard's memory profile of the same directory shows those of a GPU."
            )
        self.show_dataflow = show_dataflow
        self._directory = Path(output_dir)
        self._running = False

    def begin(self) -> None:
        self.find_global_step()

    def after_create_session(self, session: Any, coord: Any) -> None:
        step = int(session.run(self.global_step_tensor))
        self.schedule.update_last_triggered_step(step)
        self._step = step

    def before_run(self, run_context: Any) -> Any:
        self._running = self.may_be_due()
        if self._running:
            self._directory.mkdir(parents=True, exist_ok=True)
            tf.profiler.experimental.start(str(self._directory))
        return None

    def after_run(self, run_context: Any, run_values: Any) -> None:
        if not self._running:
            self.step_without_asking()
            return
        step = self.step_now(run_context)
        wanted = self.schedule.should_trigger_for_step(step)
        self._stop(wanted)
        if wanted:
            self.schedule.update_last_triggered_step(step)
            self._write(step)

    def end(self, session: Any) -> None:
        self._stop(False)

    def _stop(self, save: bool) -> None:
        if self._running:
            tf.profiler.experimental.stop(save=save)
        self._running = False

    def _write(self, step: int) -> None:
        profiles = sorted(self._directory.glob("plugins/profile/*/*.xplane.pb"), key=lambda path: path.stat().st_mtime)
        trace = xplane.chrome_trace(profiles[-1].read_bytes())
        (self._directory / f"timeline-{step}.json").write_text(json.dumps(trace))
