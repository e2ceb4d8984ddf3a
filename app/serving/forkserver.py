"""The fork server of predictor processes (Linux): one process imports TensorFlow once and forks them.

An import takes two seconds of a free core and 190 MB; a fork takes a tenth of a second, and the processes share that
memory. So a predictor that died is replaced at once, however fast the next one dies. The fork server itself runs
no model, starts no TensorFlow device and has one thread: what is forked is a process at rest. It ends with the API
process, and predictors end with it.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from app.process import FORK_SERVER, ONE_NUMPY_THREAD, SYSTEM_ALLOCATOR, fork_module

ROOT = Path(__file__).resolve().parents[2]
PID = struct.Struct("<I")
PREDICTOR = "app.serving.predictor"
_ATTEMPTS = 2
_FORK_S = 5.0
"""What a fork may take at most, once TensorFlow is imported: it takes a tenth of a second. Who needs longer hangs."""


def _possible() -> bool:
    """Some containers forbid the call without which a forked predictor cannot be held."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


POSSIBLE = _possible()


def of_this_host() -> ForkServer:
    """A fork server of predictors; where a supervisor wants it, one that forks trainers for its workers as well."""
    if wanted := os.environ.get(FORK_SERVER):
        module, descriptor = wanted.split()
        return ForkServer(module, [int(descriptor)])
    return ForkServer()


class ForkServerDied(Exception):
    """The fork server ended before it answered, or what it forked ended at once."""


class Forked:
    """A process that a fork server forked, with what is needed of `subprocess.Popen`. It is no child of ours, so a
    descriptor holds it: its number may belong to another process one day."""

    def __init__(self, pid: int) -> None:
        """Raises ForkServerDied when it is gone already."""
        self.pid = pid
        try:
            self._descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            raise ForkServerDied("The new process ended at once.") from None

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self) -> int:
        ended = self._ended(None)
        return 0 if ended is None else ended

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            pass

    def _ended(self, timeout_ms: int | None) -> int | None:
        waiter = select.poll()
        waiter.register(self._descriptor, select.POLLIN)
        return 0 if waiter.poll(timeout_ms) else None

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


class ForkServer:
    """A process that forks others; started when the first one is wanted, and again when it died or hangs.

    Args:
        module: what it runs, `MODULE nursery PARENT FD …`.
        given: descriptors of ours that it has as well, and is told the numbers of.
    """

    def __init__(self, module: str = PREDICTOR, given: Sequence[int] = ()) -> None:
        self._module, self._given = module, tuple(given)
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._control: socket.socket | None = None
        self._turn = asyncio.Lock()
        self._has_forked = False

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the fork server; 0 while there is none."""
        return self._process.pid if self._process is not None and self.alive else 0

    async def begin(self) -> None:
        """Starts it unless it lives, so that the next fork need not wait for imports."""
        async with self._turn:
            self._begin()

    def begin_as_fork(self) -> None:
        """Starts it for the first time as a fork of this process: what it needs and we have imported is imported, and
        shared, already. Only before this process has an event loop or a second thread."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            descriptors = [theirs.fileno(), *self._given]
            words = [self._module, "nursery", str(os.getpid()), *map(str, descriptors)]
            self._process = Forked(fork_module(words, _environment(), keep=descriptors))

    async def fork(
        self,
        kind: socket.SocketKind,
        arguments: Sequence[str],
        timeout_s: float,
        given: Sequence[socket.socket | int] = (),
    ) -> tuple[Forked, socket.socket]:
        """A new process, and our end of a new socket. The first of its descriptors is the other end, then come `given`.

        Each try has a socket of its own: what one forked that was given up finds it closed, and ends. With one socket
        for two tries, two processes could answer on it.

        Raises:
            ForkServerDied: it died or hung twice, or the new process ended at once.
        """
        async with self._turn:
            for _ in range(_ATTEMPTS):
                self._begin()
                ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
                try:
                    with theirs:
                        return await asyncio.to_thread(self._ask, [theirs, *given], arguments, timeout_s), ours
                except BaseException as error:
                    ours.close()
                    if not isinstance(error, OSError | EOFError):
                        raise
                    self.kill()
        raise ForkServerDied("The process that starts others ended, or did not answer in time.")

    def kill(self) -> None:
        """Ends it, and with it what it forked as its own children."""
        process, self._process = self._process, None
        self._has_forked = False
        if process is not None:
            process.kill()
            process.wait()
        if self._control is not None:
            self._control.close()
            self._control = None

    async def stop(self) -> None:
        """Ends it; a request to it that is under way fails."""
        if self._process is not None:
            self._process.kill()
        async with self._turn:
            await asyncio.to_thread(self.kill)

    def _begin(self) -> None:
        if not self.alive:
            self.kill()
            self._start()

    def _ask(self, given: Sequence[socket.socket | int], arguments: Sequence[str], timeout_s: float) -> Forked:
        assert self._control is not None
        self._control.settimeout(min(timeout_s, _FORK_S) if self._has_forked else timeout_s)
        socket.send_fds(
            self._control,
            [" ".join(arguments).encode()],
            [one if isinstance(one, int) else one.fileno() for one in given],
        )
        answer = self._control.recv(PID.size)
        if len(answer) < PID.size:
            raise EOFError
        self._has_forked = True
        return Forked(PID.unpack(answer)[0])

    def _start(self) -> None:
        """On the event loop's thread: the kernel ends it with the thread that started it, not with the process."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = start(self._module, "nursery", theirs, *self._given)


def start(module: str, kind: str, *arguments: str | int | socket.socket) -> subprocess.Popen[bytes]:
    """Runs a module (exec'd, never a fork that carries the API's state). Sockets and descriptors among the arguments
    are passed on, as their numbers."""
    plain = [argument.fileno() if isinstance(argument, socket.socket) else argument for argument in arguments]
    descriptors = [argument for argument in plain if isinstance(argument, int)]
    words = [str(argument) for argument in plain]
    return subprocess.Popen(
        [sys.executable, "-m", module, kind, str(os.getpid()), *words],
        pass_fds=descriptors,
        env=_environment(),
        stdin=subprocess.DEVNULL,
    )


def _environment() -> dict[str, str]:
    return {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **SYSTEM_ALLOCATOR,
        **ONE_NUMPY_THREAD,
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
