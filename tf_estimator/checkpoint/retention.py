"""Retention of checkpoints: which of a model directory's checkpoints are kept, and the state file that lists them."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import tensorflow as tf

from . import files


@dataclass
class Retention:
    """Which checkpoints stay: the newest `keep`, and one per `every_n_hours`.

    Args:
        directory: the model directory.
        keep: how many recent ones; None or 0 keeps all.
        every_n_hours: besides those, one per so many hours is kept forever.
    """

    directory: str
    keep: int | None = 5
    every_n_hours: float | None = 10000.0
    _recent: list[tuple[str, float]] = field(default_factory=list)
    _next_kept: float = 0.0

    def __post_init__(self) -> None:
        self._next_kept = time.time() + self._interval()
        state = None
        with contextlib.suppress(Exception):
            state = tf.train.get_checkpoint_state(self.directory)
        if state is not None:
            times = dict(zip(state.all_model_checkpoint_paths, state.all_model_checkpoint_timestamps, strict=False))
            paths = [p for p in state.all_model_checkpoint_paths if files.exists(p)]
            self._recent = [
                (Path(p).name, times.get(p, time.time())) for p in paths if files.is_inside(p, self.directory)
            ]

    def _interval(self) -> float:
        return math.inf if self.every_n_hours is None else self.every_n_hours * 3600

    def add(self, prefix: str) -> None:
        """Makes `prefix` the latest in the state file, and removes what is over the limit.

        Raises:
            OSError: the state file can't be written; it stays as it is, and `prefix` is removed if it was not in it.
        """
        name, now = Path(prefix).name, time.time()
        before, kept_until = self._recent, self._next_kept
        self._recent = [entry for entry in before if entry[0] != name] + [(name, now)]
        dropped: list[str] = []
        while self.keep and len(self._recent) > self.keep:
            old, written = self._recent.pop(0)
            if written > self._next_kept:
                self._next_kept += self._interval()
            else:
                dropped.append(old)
        try:
            self._write_state()
        except OSError:
            self._recent, self._next_kept = before, kept_until
            if name not in (known_name for known_name, _ in before):
                files.remove(prefix)
            raise
        for old in dropped:
            files.remove(str(Path(self.directory) / old))

    def _write_state(self) -> None:
        lines = [f'model_checkpoint_path: "{self._recent[-1][0]}"']
        lines += [f'all_model_checkpoint_paths: "{name}"' for name, _ in self._recent]
        lines += [f"all_model_checkpoint_timestamps: {written!r}" for _, written in self._recent]
        files.replace_file(str(Path(self.directory) / files.STATE_FILE), ("\n".join(lines) + "\n").encode())
