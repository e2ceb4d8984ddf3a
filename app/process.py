"""Process-wide measures: an end tied to the parent's, and memory returned to the system. Imports nothing of ours."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

#: TensorFlow's own allocator keeps for good what was ever needed at once. Without it speed and peaks were the same.
SYSTEM_ALLOCATOR = {"TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1"}


NOT_FOR_MODELS = ("joblib", "pandas", "pyarrow", "scipy", "sklearn")
"""What Keras imports where it is there, and no served or trained model needs: a quarter of TensorFlow's import and
80 MB of a process; Arrow also starts a thread."""


@contextmanager
def without(names: Iterable[str]) -> Iterator[None]:
    """Libraries that are imported meanwhile find none of these packages, and do without. One that is imported already
    stays; afterwards all can be imported."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


PULSE_FD = "PULSE_FD"
"""Environment variable: the descriptor on which a supervisor waits for signs of life, one byte per second or more."""
PULSE_EVERY_S = 1.0


def pulse() -> None:
    """Gives the supervisor a sign of life; nothing where there is none. A full pipe says as much as one more byte."""
    if descriptor := os.environ.get(PULSE_FD):
        try:
            os.write(int(descriptor), b".")
        except OSError:
            pass


def start_pulse(also: Callable[[], None] = lambda: None) -> None:
    """Gives signs of life from a thread, every second, for as long as the process lives; calls `also` each time."""

    def beat() -> None:
        wait = threading.Event()
        while not wait.wait(PULSE_EVERY_S):
            also()
            pulse()

    also()
    pulse()
    threading.Thread(target=beat, name="pulse", daemon=True).start()


def machine_memory_bytes(root: Path = Path("/")) -> int:
    """Memory of this machine, or of the control group that the process is in where that has less.

    Args:
        root: where /sys is.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # of version 2 and 1; "max" or a huge number: no limit
        try:
            text = (root / "sys/fs/cgroup" / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def processors(root: Path = Path("/")) -> int:
    """Processors that this process may use: by its affinity, and by the quota of its control group.

    Args:
        root: where /sys is.
    """
    if sys.platform != "linux":
        return os.cpu_count() or 1
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = (root / "sys/fs/cgroup/cpu.max").read_text().split()
        if quota.isdigit():
            count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass  # no control group of version 2: no quota that we know
    return count


def give_memory_back() -> None:
    """After a model or a training is gone."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def name_process(name: str) -> None:
    """What `ps -o comm` and `top` call this process: forks of one program look alike otherwise. At most 15 letters."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def show_command(*words: str) -> None:
    """What `ps -f` shows as the command line of this process after its program: a fork shows that of the process that
    forked it otherwise. Nothing changes where the words are longer than what stands there. Linux only."""
    if sys.platform != "linux":
        return
    shown = Path("/proc/self/cmdline").read_bytes()
    first = shown.partition(b"\0")[0]
    line = b"\0".join([first, *(word.encode() for word in words)]) + b"\0"
    # Where the arguments begin and end; the second field, the name, may hold anything: see `man 5 proc_pid_stat`.
    start, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
    if start and len(line) <= end - start:
        ctypes.memmove(start, line.ljust(end - start, b"\0"), end - start)


def adopt_orphans() -> None:
    """From now on, processes that our descendants leave behind become our children; see `fork_child_of`. Linux only."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def fork_child_of(parent: int, report: Callable[[int], None]) -> bool:
    """Forks a process that becomes a child of `parent`, an ancestor of ours that adopts orphans, and ends with it, not
    with us.

    Args:
        report: called with the new process' number, in a process that ends right after.

    Returns whether this is the new process. SIGCHLD has to be ignored here, so that the one between is cleared away.
    """
    if os.fork():
        return False
    between = os.getpid()
    if pid := os.fork():
        try:
            report(pid)
        finally:
            os._exit(0)
    while os.getppid() == between:
        time.sleep(0.0005)
    die_with_parent(parent=parent)
    return True


def die_with_parent(by: signal.Signals = signal.SIGKILL, *, parent: int | None = None) -> None:
    """Asks the kernel to send `by` to this process when its parent dies, even by SIGKILL. Linux only; elsewhere a
    process has to notice in another way, for example by the end of its input.

    `parent` is the process number of the parent as it gave it: with it, one that died before this call is noticed.
    """
    parent = os.getppid() if parent is None else parent
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)
        if os.getppid() != parent:  # it died before we asked; a parent may itself be process 1, as in a container
            os._exit(1)
