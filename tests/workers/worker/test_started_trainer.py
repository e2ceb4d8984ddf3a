"""Trainers that a fork server forks: they live on without it, end with their worker, and tell how they ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.process import TRAINERS_FD
from app.serving import forkserver
from tests.waiting import wait_for
from workers.worker import started_trainer
from workers.worker.started_trainer import TrainerStart

pytestmark = pytest.mark.skipif(not forkserver.POSSIBLE, reason="trainers are forked on Linux only")
FAKE = [sys.executable, "-m", "tests.workers.worker.fake_trainer"]
ROOT = Path(__file__).parents[3]


class SharedForkServer:
    """One for all tests here, since it imports TensorFlow; `begin` starts it unless it lives."""

    def __init__(self) -> None:
        self.asked, self._read = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        if self.process is None or self.process.poll() is not None:
            self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self.process = forkserver.start("workers.fork_server", "nursery", theirs, self._read)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if self._ours is not None:
            self._ours.close()

    def close(self) -> None:
        self.kill()
        self.asked.close()
        self._read.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[SharedForkServer]:
    found = SharedForkServer()
    yield found
    found.close()


@pytest.fixture
def fork_server(shared: SharedForkServer, monkeypatch: pytest.MonkeyPatch) -> SharedForkServer:
    shared.begin()
    monkeypatch.setenv(TRAINERS_FD, str(shared.asked.fileno()))
    monkeypatch.setattr(started_trainer, "_KEEPER_WITHIN_S", 120.0)
    return shared


def begin(*given: int, **environment: str) -> TrainerStart:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return TrainerStart(FAKE, variables, given, fork=True)


def ready(start: TrainerStart) -> psutil.Process:
    said = b""
    while not said.endswith(b"\n"):
        wait_for(lambda: start.wait_for_output(0.2), "the trainer", 120)
        said += os.read(start.output, 100)
    assert said == b'{"ready": true}\n'
    return psutil.Process(start.pid)


def close(start: TrainerStart) -> None:
    for descriptor in (start.input, start.output):
        os.close(descriptor)


def test_forked_trainer_is_what_an_executed_one_would_be(fork_server: SharedForkServer, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("wb") as lock:
        start = begin(lock.fileno(), ONLY_OURS="1")
        process = ready(start)
    assert fork_server.process is not None
    assert psutil.Process(fork_server.process.pid).num_threads() == 1  # a fork has no other thread, nor its locks
    assert " ".join(process.cmdline()).split()[-2:] == FAKE[1:]
    assert "lock" in {Path(file.path).name for file in process.open_files()}
    # its own signals, no thread of the fork server, and no socket through which it was wished for
    assert (process.num_threads(), os.getsid(process.pid) == os.getsid(0)) == (1, False)
    assert not [link for link in Path(f"/proc/{start.pid}/fd").iterdir() if "socket:" in str(link.readlink())]
    # the end of its input ends it, as the exit code says
    os.close(start.input)
    wait_for(lambda: start.wait_for_output(0.2), "the end of its output")
    code, peak = start.reap()
    assert code == 0
    assert peak is not None
    assert peak > 1000
    os.close(start.output)


def test_trainer_lives_on_without_its_fork_server_and_wishes_wait_for_the_next(
    fork_server: SharedForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = begin()
    process = ready(start)
    fork_server.kill()
    # who is not patient takes the wish back; it lies in the socket still
    monkeypatch.setattr(started_trainer, "_KEEPER_WITHIN_S", 0.0)
    executed = begin()
    assert ready(executed).ppid() == os.getpid()
    monkeypatch.setattr(started_trainer, "_KEEPER_WITHIN_S", 120.0)
    later = begin()
    assert not later.wait_for_output(0.0)
    assert later.pid == 0

    fork_server.begin()  # which finds the old wish first, and that nobody is there for it
    other = ready(later)

    assert other.ppid() != os.getpid()
    for one in (start, executed, later):
        assert psutil.Process(one.pid).is_running()
        assert not one.wait_for_output(0.0)  # it said nothing more, and did not end
        assert one.end()[0] == -signal.SIGKILL
        close(one)
    wait_for(lambda: not process.is_running() and not other.is_running(), "both ends")


def test_forked_trainer_ends_with_its_keeper(fork_server: SharedForkServer) -> None:
    start = begin()
    process = ready(start)
    keeper = psutil.Process(process.ppid())
    keeper.kill()
    wait_for(lambda: start.wait_for_output(0.2), "the end of its output")
    assert start.reap() == (-signal.SIGKILL, None)
    close(start)


def test_forked_trainer_ends_with_its_worker(fork_server: SharedForkServer) -> None:
    start = begin()
    process = ready(start)
    assert start._keeper is not None
    start._keeper.close()  # as the kernel does when a worker is killed
    wait_for(lambda: not process.is_running(), "the end of a trainer without a worker")
    close(start)


def test_trainer_is_executed_where_no_fork_server_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRAINERS_FD, raising=False)
    asked, read = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with asked, read:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        asked.setblocking(False)
        with pytest.raises(BlockingIOError):  # until it is full
            while True:
                asked.send(b"+")
        for environment in ({}, {TRAINERS_FD: str(asked.fileno())}):
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            start = begin()
            assert ready(start).ppid() == os.getpid()
            assert start.end()[0] == -signal.SIGKILL
            close(start)
