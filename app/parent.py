"""Processes that must not outlive the one that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(by: signal.Signals = signal.SIGKILL, *, parent: int | None = None) -> None:
    """Asks the kernel to send `by` to this process when its parent dies, even by SIGKILL. Linux only; elsewhere a
    process has to notice in another way, for example by the end of its input.

    `parent` is the process number of the parent as it told us: with it, one that died before this call is noticed.
    """
    parent = os.getppid() if parent is None else parent
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)
        if os.getppid() != parent:  # it died before we asked; a parent may itself be process 1, as in a container
            os._exit(1)
