"""A part of the service as a fork of the supervisor: it does what an exec'd one does, and shares memory with it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from app.process import die_with_parent, fork_module

_LOOK_EVERY_S = 0.02


class ForkedPart:
    """What is needed of `subprocess.Popen`, for a child that leads a session of its own and ends with its parent.

    Args:
        argv: `[python, "-m", module, …]`.
        environment: all of its variables.
        inherited: descriptors that it has beside standard output and error.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], inherited: Sequence[int]) -> None:
        parent = os.getpid()

        def first() -> None:
            os.setsid()
            die_with_parent(signal.SIGTERM, parent=parent)

        self.pid = fork_module(argv[2:], environment, keep=inherited, first=first)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired([str(self.pid)], timeout or 0.0)
            time.sleep(_LOOK_EVERY_S)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)
