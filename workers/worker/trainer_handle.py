"""The pool child's end of a trainer: starts it, hands it attempts, notices its death."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from workers import memory
from workers.worker.devices import Devices
from workers.worker.started_trainer import TrainerStart
from workers.worker.trainer_protocol import encode

log = structlog.get_logger("trainer")

TRAINER = [sys.executable, "-m", "workers.trainer"]
_MOST_GROWN = 512 * 2**20
"""Bytes that an idle trainer may hold beyond what it held at first. The traces that it keeps take up to 250 MB."""


@dataclass(frozen=True)
class Death:
    """How a trainer ended.

    Attributes:
        exit_code: None when a signal ended it; `signal`: that signal's number, else None.
        peak_memory_bytes: the most that was resident.
    """

    exit_code: int | None
    signal: int | None
    peak_memory_bytes: int | None

    @property
    def reason(self) -> str:
        if self.signal is not None:
            name = signal.Signals(self.signal).name if self.signal in set(signal.Signals) else str(self.signal)
            hint = " (the system ran out of memory, or a signal killed it)" if self.signal == signal.SIGKILL else ""
            return f"The trainer process was ended by {name}{hint}."
        return f"The trainer process ended with exit code {self.exit_code}."


class TrainerProcess:
    """A warm trainer: has imported TensorFlow, waits for an attempt."""

    def __init__(
        self, devices: Devices, command: list[str] | None = None, environment: Mapping[str, str] = os.environ
    ) -> None:
        command = command or TRAINER
        self._start = TrainerStart(
            command,
            devices.environment(environment),
            devices.descriptors(),
            fork=command[: len(TRAINER)] == TRAINER,
        )
        self._in = os.fdopen(self._start.input, "wb")
        self._out = self._start.output
        os.set_blocking(self._out, False)
        self._buffer = b""
        self.ready = False
        self._held_at_first: int | None = None
        self.oom_kills_before: int | None = None  # the kernel's count when the attempt began
        self.death: Death | None = None

    @property
    def pid(self) -> int:
        """0 until there is a process."""
        return self._start.pid

    def memory_bytes(self) -> int:
        """What it holds now; 0 when it is dead."""
        return memory.held_bytes(self.pid) if self.pid and self.death is None else 0

    def has_grown(self) -> bool:
        """Whether it holds so much more than when it was ready that a fresh one should take its place; ask after an
        attempt, when it has given memory back."""
        return self._held_at_first is not None and self.memory_bytes() - self._held_at_first > _MOST_GROWN

    def send(self, message: dict[str, Any]) -> bool:
        """False: the trainer is dead."""
        try:
            self._in.write(encode(message))
            self._in.flush()
        except (BrokenPipeError, ValueError):
            return False
        return True

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message; None when there is none in that time, or the trainer is dead (see `death`)."""
        deadline = time.monotonic() + timeout_s
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                message: dict[str, Any] = json.loads(line)
                if "ready" in message:
                    self.ready, self._held_at_first = True, self.memory_bytes()
                return message
            if self.death is not None:
                return None
            wait = max(0.0, deadline - time.monotonic())
            if self._start.wait_for_output(wait):
                data = os.read(self._out, 65536)
                if not data:
                    self._reap()
                self._buffer += data
            elif time.monotonic() >= deadline:
                return None

    def kill(self) -> Death:
        """Ends it now."""
        if self.death is None:
            self._note(*self._start.end())
        assert self.death is not None
        return self.death

    def close(self, within_s: float = 2.0) -> None:
        """Ends an idle trainer: it leaves at the end of its input."""
        with contextlib.suppress(BrokenPipeError):
            self._in.close()
        deadline = time.monotonic() + within_s
        while self.death is None and time.monotonic() < deadline:
            self.receive(0.1)
        self.kill()

    def _reap(self) -> None:
        """Waits for the process, whose output has ended, and notes how it died."""
        if self.death is None:
            self._note(*self._start.reap())

    def _note(self, code: int, peak: int | None) -> None:
        unit = 1 if sys.platform == "darwin" else 1024
        self.death = Death(
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            peak_memory_bytes=None if peak is None else peak * unit,
        )
        with contextlib.suppress(BrokenPipeError):
            self._in.close()
        os.close(self._out)


def member_trainer(devices: Devices) -> TrainerProcess:
    """A trainer for a member of a gang: it has imported TensorFlow and not yet used it, for a process that has can join
    no cluster."""
    return TrainerProcess(devices, [*TRAINER, "--member"])
