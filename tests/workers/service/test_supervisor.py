"""The supervisor, with small real processes as its parts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.config import Settings
from app.serving.forkserver import POSSIBLE
from tests.fakes import ManualClock
from tests.waiting import wait_for
from workers.service.liveness import Pulse, ReplyProbe
from workers.service.supervisor import ServicePart, Supervisor, check_port, lock_data_dir, parts_of, share_fork_server

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    found = subprocess.run(["pgrep", "-g", str(group)], capture_output=True, check=False).stdout.split()
    return [int(pid) for pid in found if alive(int(pid))]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ignores(pid: int, number: signal.Signals) -> bool:
    """Whether a process ignores a signal, as the kernel says."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:")), 16)
    return bool(mask >> (number - 1) & 1)


@contextmanager
def supervised(*parts: ServicePart) -> Iterator[Supervisor]:
    supervisor = Supervisor(list(parts), dict(os.environ), lambda: None)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        wait_for(lambda: all(part.process for part in parts))
        yield supervisor
    finally:
        supervisor.stopping = True
        thread.join()


def test_a_part_that_dies_is_started_again() -> None:
    part = ServicePart("sleeper", SLEEP, 5.0)
    with supervised(part):
        assert part.process
        first = part.process.pid
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: part.process is not None and part.process.pid != first)


def test_a_part_that_dies_at_once_is_started_ever_slower_and_asked_what_to_mend() -> None:
    seen: list[int] = []
    part = ServicePart("broken", [sys.executable, "-c", "raise SystemExit(3)"], 5.0, seen.append)
    with supervised(part):
        wait_for(lambda: len(seen) >= 3)
    assert seen[:3] == [0, 1, 2]


PULSE = [sys.executable, "-c", "import time; from app.process import start_pulse; start_pulse(); time.sleep(60)"]


def stop_and_see_it_replaced(part: ServicePart) -> None:
    with supervised(part):
        assert part.process
        wait_for(lambda: part.has_shown_life)
        first = part.process.pid
        os.kill(first, signal.SIGSTOP)
        wait_for(lambda: part.process is not None and part.process.pid != first)
        wait_for(lambda: part.has_shown_life)
        assert not alive(first)


def test_part_whose_pulse_stops_is_killed_and_started_again() -> None:
    stop_and_see_it_replaced(ServicePart("pulse", PULSE, 5.0, life=Pulse(), hang_s=3.0))


def test_part_that_answers_no_more_is_killed_and_started_again(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    command = [
        sys.executable,
        "-c",
        f"import os, socketserver\nif os.path.exists({path!r}): os.unlink({path!r})\n"
        "class Echo(socketserver.StreamRequestHandler):\n"
        "    def handle(self): self.wfile.write(self.rfile.readline())\n"
        f"socketserver.UnixStreamServer({path!r}, Echo).serve_forever()",
    ]
    stop_and_see_it_replaced(ServicePart("unix", command, 5.0, life=ReplyProbe(path, b"PING\r\n"), hang_s=3.0))


class Shown:
    """A sign of life by hand."""

    def __init__(self) -> None:
        self.now = False

    def begin(self) -> tuple[dict[str, str], tuple[int, ...]]:
        return {}, ()

    def seen(self) -> bool:
        return self.now


def test_standstill_of_the_supervisor_is_no_silence_of_its_parts() -> None:
    clock, life = ManualClock(), Shown()
    part = ServicePart("sleeper", SLEEP, 5.0, life=life, hang_s=30.0)
    supervisor = Supervisor([part], dict(os.environ), lambda: None, clock=clock)
    try:
        supervisor.round()
        assert part.process
        first = part.process.pid
        life.now = True
        supervisor.round()
        life.now = False
        clock.advance(3600.0)  # the laptop was closed
        supervisor.round()
        for _ in range(29):
            clock.advance(1.0)
            supervisor.round()
        assert part.process.pid == first
        clock.advance(1.5)
        supervisor.round()
        assert part.process is None  # killed
    finally:
        supervisor.stop()


def test_part_may_take_its_time_to_start() -> None:
    clock = ManualClock()
    part = ServicePart("sleeper", SLEEP, 5.0, life=Shown(), hang_s=1.0)
    supervisor = Supervisor([part], dict(os.environ), lambda: None, clock=clock)
    try:
        for _ in range(119):
            supervisor.round()
            clock.advance(1.0)
        assert part.process
        assert part.process.poll() is None
        supervisor.round()
        clock.advance(1.5)
        supervisor.round()
        assert part.process is None
    finally:
        supervisor.stop()


def test_stop_ends_every_part_and_what_it_started() -> None:
    family = ServicePart(
        "family",
        [sys.executable, "-c", "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"],
        5.0,
    )
    with supervised(family, ServicePart("sleeper", SLEEP, 5.0)):
        assert family.process
        group = family.process.pid
        wait_for(lambda: len(members(group)) == 2)
    wait_for(lambda: members(group) == [])


def test_stop_kills_a_part_that_does_not_obey() -> None:
    part = ServicePart("stubborn", STUBBORN, 0.3)
    with supervised(part):
        assert part.process
        pid = part.process.pid
        wait_for(lambda: ignores(pid, signal.SIGTERM))
    assert not alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child's life to its parent's")
def test_parts_die_when_the_supervisor_is_killed() -> None:
    code = (
        "import os, sys\nfrom workers.service.supervisor import ServicePart, Supervisor\n"
        "part = ServicePart('sleeper', [sys.executable, '-c', 'import time; time.sleep(60)'], 5.0)\n"
        "Supervisor([part], dict(os.environ), lambda: print('PID', part.process.pid, flush=True)).run()"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert supervisor.stdout
    pid = next(int(line.split()[1]) for line in supervisor.stdout if line.startswith(b"PID "))
    assert alive(pid)
    supervisor.kill()
    supervisor.communicate()
    wait_for(lambda: not alive(pid))


def has_parts_in(folder: Path) -> str:
    """How a program begins that supervises modules of that folder. Its log goes to standard error."""
    return (
        "import os, sys\n"
        "from app.log import configure\n"
        "from workers.service.supervisor import ServicePart, Supervisor\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        "configure('INFO')\n"
    )


@pytest.mark.skipif(not POSSIBLE, reason="parts are forked on Linux only")
def test_forked_part_shares_imports_is_executed_again_and_dies_with_the_supervisor(tmp_path: Path) -> None:
    told = "import os, sys, time\nprint('PART', os.getpid(), 'app.config' in sys.modules, flush=True)\ntime.sleep(60)\n"
    (tmp_path / "part.py").write_text(told)
    code = has_parts_in(tmp_path) + (
        "part = ServicePart('part', [sys.executable, '-m', 'part'], 5.0, forks=True)\n"
        f"Supervisor([part], os.environ | {{'PYTHONPATH': {str(tmp_path)!r}}}, lambda: None).run()"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert supervisor.stdout
    parts = (line.split()[1:] for line in supervisor.stdout if line.startswith(b"PART "))
    pid, shares = next(parts)
    assert (shares, os.getsid(int(pid))) == (b"True", int(pid))
    os.kill(int(pid), signal.SIGKILL)
    pid, shares = next(parts)
    assert (shares, os.getsid(int(pid))) == (b"False", int(pid))
    supervisor.kill()
    supervisor.communicate()
    wait_for(lambda: not alive(int(pid)))


@pytest.mark.skipif(not POSSIBLE, reason="parts are forked on Linux only")
def test_forked_part_is_stopped_in_order_or_killed_when_it_does_not_stop(tmp_path: Path) -> None:
    (tmp_path / "polite.py").write_text("import os, time\nos.write(1, b'UP\\n')\ntime.sleep(60)\n")
    says = "__import__('os').write(1, b'UP\\n')"  # at once: two of them write to one pipe
    (tmp_path / "stubborn.py").write_text(STUBBORN[2].replace("print('up', flush=True)", says))
    code = has_parts_in(tmp_path) + (
        "argv = [[sys.executable, '-m', name] for name in ('polite', 'stubborn')]\n"
        "parts = [ServicePart(words[-1], words, 0.3, forks=True) for words in argv]\n"
        "supervisor = Supervisor(parts, dict(os.environ), lambda: None)\n"
        "supervisor.round()\n"
        "processes = [part.process for part in parts]\n"
        "input()\n"
        "supervisor.stop()\n"
        "print([process.returncode for process in processes])\n"
    )
    command, lines = [sys.executable, "-c", code], list[str]()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout
        while lines.count("UP\n") < 2:
            lines.append(supervisor.stdout.readline())
        told, _ = supervisor.communicate("stop\n")
    assert told.splitlines()[-1] == "[-15, -9]"


def test_second_service_in_a_data_directory_is_refused(tmp_path: Path) -> None:
    with lock_data_dir(tmp_path), pytest.raises(SystemExit, match="--data-dir"):
        lock_data_dir(tmp_path)
    with lock_data_dir(tmp_path):
        pass


def test_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit, match="--port"):
            check_port("127.0.0.1", taken.getsockname()[1])


def test_configured_broker_is_not_started(tmp_path: Path) -> None:
    own = parts_of(Settings(data_dir=tmp_path, worker_slots=2))
    tables = ["tables"] if POSSIBLE else []
    assert [part.name for part in own] == ["broker", *tables, "api", "reconciler", "worker-0", "worker-1"]
    configured = parts_of(Settings(data_dir=tmp_path, redis_url="redis://127.0.0.1:6379/0"))
    assert [part.name for part in configured] == [*tables, "api", "reconciler", "worker-0"]


def test_part_that_ends_by_itself_is_not_started_again() -> None:
    part = ServicePart("once", [sys.executable, "-c", ""], 5.0, once=True)
    with supervised(part) as supervisor:
        wait_for(lambda: part.process is None)
        supervisor.round()
        assert part.process is None


def test_fork_server_of_trainers_is_shared_with_the_workers_alone(tmp_path: Path) -> None:
    parts = parts_of(Settings(data_dir=tmp_path, worker_slots=2))
    share_fork_server(parts)
    parts = [part for part in parts if part.name != "tables"]
    given = {part.name: part.descriptors for part in parts}
    (read,), (asked,) = given["api"], given["worker-0"]
    os.close(read)
    os.close(asked)
    assert given == {"broker": (), "api": (read,), "reconciler": (), "worker-0": (asked,), "worker-1": (asked,)}
    assert {part.name: part.environment for part in parts} == {
        "broker": {},
        "api": {"FORK_SERVER": f"workers.fork_server {read}"},
        "reconciler": {},
        "worker-0": {"TRAINERS_FD": str(asked)},
        "worker-1": {"TRAINERS_FD": str(asked)},
    }


def test_slots_beyond_the_number_of_gpus_use_the_cpu(tmp_path: Path) -> None:
    parts = parts_of(Settings(data_dir=tmp_path, worker_slots=3, gpus="0,1", redis_url="redis://127.0.0.1:6379/0"))
    gpus = {part.name: part.environment.get("GPUS") for part in parts if part.name.startswith("worker")}
    assert gpus == {"worker-0": None, "worker-1": None, "worker-2": "none"}
