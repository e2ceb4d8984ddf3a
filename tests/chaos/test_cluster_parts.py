"""What can be tried of `scripts/cluster-test` without a run of it: hosts that share nothing, the end of all of them,
what is told where something is missing, and that a check that fails makes the run fail."""

from __future__ import annotations

import fcntl
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from scripts.cluster_parts import __main__ as command
from scripts.cluster_parts import needs
from scripts.cluster_parts.host import shared_places
from scripts.cluster_parts.report import Report
from tests.tied import tied
from tests.waiting import wait_for

#: as /proc/PID/mountinfo has it: the root read-only, a directory of the host's own, one of both, one under another
MOUNTS = """\
30 1 8:1 / / ro,relatime - ext4 /dev/root rw
31 30 8:1 /hosts/{name} /hosts rw,relatime - ext4 /dev/root rw
32 30 0:{number} / /tmp rw - tmpfs none rw
33 30 0:60 / /dev/shm rw - tmpfs shm rw
34 33 0:{number} / /dev/shm rw - tmpfs none rw
35 30 0:5 / /proc rw - proc proc rw
"""

in_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or bool(needs.missing()), reason="needs root, namespaces, and what scripts/cluster-test asks for"
)


def test_places_that_two_hosts_can_write_are_found() -> None:
    one, other = MOUNTS.format(name="one", number=71), MOUNTS.format(name="other", number=72)

    assert shared_places(one, other) == []  # what lies under another mount is not reached
    same = ["/dev/shm and /dev/shm", "/dev/shm and /tmp", "/hosts and /hosts", "/tmp and /dev/shm", "/tmp and /tmp"]
    assert shared_places(one, one) == same
    whole = other.replace("/ / ro", "/ / rw").replace("/hosts/other /hosts rw", "/hosts/other /hosts ro")
    assert shared_places(one, whole) == ["/hosts and /"]


def test_what_is_missing_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = [("Linux", lambda: True, ""), ("ip", lambda: False, "apt-get install iproute2"), ("x", lambda: False, "y")]
    monkeypatch.setattr(needs, "NEEDS", lacks)
    assert needs.missing() == [
        "scripts/cluster-test needs ip: apt-get install iproute2.",
        "scripts/cluster-test needs x: y.",
    ]
    monkeypatch.setattr(needs, "NEEDS", [("root", lambda: False, "be it"), *lacks])
    assert needs.missing() == ["scripts/cluster-test needs root: be it."]


def test_command_says_what_is_missing_and_does_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(needs, "NEEDS", [("root", lambda: False, "be it")])
    monkeypatch.setattr(command, "run_inside", lambda place: pytest.fail("it was run"))
    monkeypatch.setattr(sys, "argv", ["scripts/cluster-test"])
    assert command.main() == 2
    assert capsys.readouterr().err == "scripts/cluster-test needs root: be it.\n"


@pytest.mark.parametrize(("held", "why", "good"), [(True, "", True), (False, "", False), (True, "late", False)])
def test_run_is_good_when_every_check_held(held: bool, why: str, good: bool) -> None:
    report = Report(Console(file=io.StringIO()))
    assert not report.good  # nothing was checked
    report.begin("first")
    report.check("one thing", True)
    report.check("another", held)
    report.steps[-1].why = why
    report.summary()
    assert (report.good, report.as_json()["ok"]) == (good, good)
    told = report.console.file.getvalue()  # type: ignore[attr-defined]
    assert ("first: another" in told, "first: late" in told) == (not held, bool(why))
    report.begin("a step without a check")
    assert not report.good


def test_directories_of_killed_runs_are_removed_and_others_stay(tmp_path: Path) -> None:
    with command.run_directory(tmp_path, keep=False) as running:
        left = tmp_path / f"{command.PREFIX}left"
        (left / "hosts").mkdir(parents=True)
        (tmp_path / "another").mkdir()
        assert command.remove_leftovers(tmp_path) == [left]
        assert sorted(tmp_path.iterdir()) == sorted([running, tmp_path / "another"])
    assert not running.exists()
    with command.run_directory(tmp_path, keep=True) as kept:
        pass
    assert (kept / "hosts").is_dir()
    descriptor = os.open(kept, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is not held any more
    os.close(descriptor)


def living(marker: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cmdline() == ["sleep", marker] and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            pass
    return found


@in_namespaces
def test_everything_ends_with_the_run_though_it_is_killed() -> None:
    marker = f"98{os.getpid()}"
    inside = ["sh", "-c", f"setsid sh -c 'sleep {marker} & exec sleep {marker}' & wait"]
    program = (
        f"import pathlib\nfrom scripts.cluster_parts.__main__ import run_inside\nrun_inside(pathlib.Path(), {inside})"
    )
    with subprocess.Popen(tied([sys.executable, "-c", program]), cwd=needs.ROOT) as outer:
        wait_for(lambda: len(living(marker)) == 2, "what the run starts")
        outer.kill()
    wait_for(lambda: not living(marker), "its end")


@contextmanager
def host(place: Path, name: str, program: list[str]) -> Iterator[psutil.Process]:
    """A host without a network; its first process."""
    (place / name).mkdir()
    programs = {"program": {"command": program, "environment": dict(os.environ), "directory": "/"}}
    said = place.parent / f"{name}.json"
    said.write_text(json.dumps({"name": name, "place": str(place), "own": str(place / name), "programs": programs}))
    unshare = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    process = subprocess.Popen(
        tied([*unshare, sys.executable, "-m", "scripts.cluster_parts.host", said]), cwd=needs.ROOT
    )
    try:
        yield wait_for(lambda: next(iter(psutil.Process(process.pid).children()), None), "the first process")
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def hosts() -> Iterator[Path]:
    """A directory where a run has its hosts'; /tmp would be each host's own."""
    with command.run_directory(Path("/var/tmp"), keep=False) as place:
        yield place / "hosts"


@in_namespaces
def test_hosts_share_nothing_and_keep_their_programs_running(hosts: Path) -> None:
    writes = "hostname >> seen; touch {0}/file; ls {0} > listing; touch {1}/outside 2>> refused; exit 3"
    program = ["sh", "-c", f"cd {hosts}; " + writes.format(hosts, needs.ROOT)]
    with host(hosts, "one", program) as one, host(hosts, "other", ["sleep", "1000"]) as other:
        wait_for((hosts / "other" / "log" / "program").exists)
        wait_for(lambda: (hosts / "one" / "seen").exists() and len((hosts / "one" / "seen").read_text().split()) >= 2)
        assert set((hosts / "one" / "seen").read_text().split()) == {"one"}
        assert not {"one", "other"} & set((hosts / "one" / "listing").read_text().split())
        assert "Read-only file system" in (hosts / "one" / "refused").read_text()
        assert "program ended with 3; it is started again" in (hosts / "one" / "log" / "program").read_text()
        infos = [Path(f"/proc/{first.pid}/mountinfo").read_text() for first in (one, other)]
        assert shared_places(*infos) == []
        assert shared_places(infos[0], Path("/proc/self/mountinfo").read_text())  # the test's own can be written
    assert not (needs.ROOT / "outside").exists()
