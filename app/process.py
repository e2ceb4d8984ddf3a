"""Process-wide measures: an end tied to the parent's, and memory returned to the system. Imports nothing of ours."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_MADV_DONTNEED = 4

#: TensorFlow's own allocator keeps for good what was ever needed at once. Without it speed and peaks were the same.
SYSTEM_ALLOCATOR = {"TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1"}

#: Numpy's threads are not used, and a process that forks others has one thread. Read when numpy is imported.
ONE_NUMPY_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


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

FORK_SERVER = "FORK_SERVER"
"""Environment variable of a serving parent: the module of a fork server of more than predictors, and the descriptor of
a socket that this fork server is to have."""
TRAINERS_FD = "TRAINERS_FD"
"""Environment variable of a worker: the descriptor of a socket whose other end a fork server of trainers reads."""


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


def let_go_of_file_pages() -> None:
    """Unmaps the pages of libraries that this process has read: an import reads hundreds of megabytes of TensorFlow's
    once, to relocate it. They stay in the system's cache, and come back when they are used. Linux only.

    Only mappings that nobody can have written to are touched: what `man 2 madvise` says of MADV_DONTNEED for a private
    mapping of a file is that its pages are read from the file again.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    begin = end = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *fields = line.split()
        if not first.endswith(":"):
            addresses, (access, _, _, inode, *_) = first.split("-"), fields
            begin, end = (int(address, 16) for address in addresses) if "w" not in access and inode != "0" else (0, 0)
        elif first == "Anonymous:" and fields[0] == "0" and begin:
            libc.madvise(begin, end - begin, _MADV_DONTNEED)


def name_process(name: str) -> None:
    """What `ps -o comm` and `top` call this process: forks of one program look alike otherwise. At most 15 letters."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def show_command(*words: str) -> None:
    """What `ps -f` shows as the command line of this process after its program: a fork shows that of the process that
    forked it otherwise. Where there is too little room, the program loses its directory, then the line its last words.
    Linux only."""
    if sys.platform != "linux":
        return
    shown = Path("/proc/self/cmdline").read_bytes()
    program = shown.partition(b"\0")[0]
    # Where the arguments begin and end; the second field, the name, may hold anything: see `man 5 proc_pid_stat`.
    start, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
    said = [word.encode() for word in words]
    lines = [
        [program, *said],
        *([Path(os.fsdecode(program)).name.encode(), *said[:n]] for n in range(len(said), 0, -1)),
    ]
    for line in (b"\0".join(line) + b"\0" for line in lines):
        if start and len(line) <= end - start:
            ctypes.memmove(start, line.ljust(end - start, b"\0"), end - start)
            return


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


def fork_module(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    keep: Sequence[int] = (),
    standard: Sequence[int] = (),
    first: Callable[[], None] = lambda: None,
) -> int:
    """Forks a process that does what `python -m WORDS` does, without importing again what is imported here, and shares
    that memory. Only a process with one thread may call this. Linux only.

    Args:
        words: the module and its arguments.
        environment: all variables of the new process.
        keep: descriptors that it has beside the three first.
        standard: what become its standard input, output and error; none: an empty input, and ours.
        first: called in it before all else.

    Returns the process' number.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if pid := os.fork():
        return pid
    status = 1
    try:
        first()
        _forget_the_parent(environment, keep, standard)
        show_command("-m", *words)
        sys.argv = list(words)
        gc.enable()
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        # What an interpreter does at its end; the frames below us are the parent's, and nothing of them may run here.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _forget_the_parent(environment: Mapping[str, str], keep: Sequence[int], standard: Sequence[int]) -> None:
    """What an exec would do to signals, descriptors and variables."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for place, descriptor in enumerate(standard or [os.open(os.devnull, os.O_RDONLY)]):
        os.dup2(descriptor, place)
    edge = 3
    for descriptor in [*sorted({one for one in keep if one > 2}), os.sysconf("SC_OPEN_MAX")]:
        os.closerange(edge, descriptor)
        edge = descriptor + 1
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
