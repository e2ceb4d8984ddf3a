"""Commands that end with the process of the tests, even when that is killed and no fixture can end them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_TIE = """
import ctypes, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a script's shell has what it starts in the background ignore
ctypes.CDLL(None).prctl(1, int(sys.argv[2]))  # PR_SET_PDEATHSIG, which outlives the exec
if os.getppid() == int(sys.argv[1]):  # else it died before we asked
    os.execvp(sys.argv[3], sys.argv[3:])
"""


def tied(command: Sequence[str | Path], *, by: int = signal.SIGTERM) -> list[str]:
    """The command of a process that the kernel sends SIGTERM when the thread that starts it ends; so start it from one
    that lasts. An interrupt reaches it also where the tests run in the background. `by`: another signal, for a program
    that does not end by that. Number, session and command line of the process are those of the command. Linux only;
    elsewhere the command as it is."""
    words = [str(word) for word in command]
    if sys.platform != "linux":
        return words
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), str(int(by)), *words]
