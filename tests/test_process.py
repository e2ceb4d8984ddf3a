from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import Settings
from app.process import machine_memory_bytes

ROOT = Path(__file__).parent.parent
TOTAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("memory.max", "max", TOTAL),
        ("memory.max", "1073741824", 2**30),
        ("memory/memory.limit_in_bytes", "1073741824", 2**30),
        ("memory/memory.limit_in_bytes", "9223372036854771712", TOTAL),
    ],
)
def test_memory_of_the_machine_is_that_of_the_control_group_where_it_has_less(
    tmp_path: Path, file: str, content: str, expected: int
) -> None:
    path = tmp_path / "sys/fs/cgroup" / file
    path.parent.mkdir(parents=True)
    path.write_text(content + "\n")
    assert machine_memory_bytes(tmp_path) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows what stands in memory")
@pytest.mark.parametrize(
    ("word", "expected"), [("app.main", ["app.main", "lane-0"]), ("a" * 5000, ["-", "the first one", "the second one"])]
)
def test_command_line_that_is_shown_can_be_changed_where_there_is_room(word: str, expected: list[str]) -> None:
    code = f"""
from app.process import show_command
show_command({word!r}, "lane-0")
print(open("/proc/self/cmdline").read().split(chr(0))[1:])
"""
    done = subprocess.run(
        [sys.executable, "-", "the first one", "the second one"],
        input=code,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [shown for shown in ast.literal_eval(done.stdout) if shown] == expected


def test_limit_of_a_trainer_is_nine_tenths_of_the_machine_unless_set() -> None:
    assert Settings(job_memory_bytes=None).job_memory_limit == machine_memory_bytes() * 9 // 10
    assert Settings(job_memory_bytes=5).job_memory_limit == 5
    assert Settings(job_memory_bytes=0).job_memory_limit is None


def test_what_is_hidden_is_not_found_meanwhile_and_can_be_imported_afterwards() -> None:
    code = """
import json
from app.process import without
with without(["colorsys", "json"]):
    try:
        import colorsys
    except ImportError:
        print("hidden")
    import json
import colorsys
print(colorsys.ONE_THIRD > 0, json.dumps({}))
"""
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["hidden", "True {}"]


@pytest.mark.parametrize("module", ["workers.service.supervisor", "workers.reconciler", "app.lanes.parent"])
def test_no_part_of_the_service_imports_what_it_does_not_use(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'rich', 'tensorflow', 'pandas', 'pyarrow'}} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"


def run_fork(code: str) -> subprocess.CompletedProcess[str]:
    """Runs Python that may fork: pytest's process has threads."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_forked_module_has_what_an_executed_one_has(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(
        "import os, signal, sys, atexit\n"
        "names = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]\n"
        "files = sorted(int(n) for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}'))\n"
        "atexit.register(lambda: print('at exit', flush=True))\n"
        "print(__name__, sys.argv[1:], os.environ.get('GIVEN'), 'REMOVED' in os.environ, sys.stdin.read() == '')\n"
        "print(names == [signal.SIG_DFL, signal.SIG_DFL, signal.default_int_handler], files)\n"
        "raise SystemExit(7)\n"
    )
    code = (
        "import os, signal, sys\n"
        "from app.process import fork_module\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(n, signal.SIG_IGN)\n"
        "os.environ['REMOVED'] = '1'\n"
        "keep, other = os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_RDONLY)\n"
        "given = {n: v for n, v in os.environ.items() if n != 'REMOVED'} | {'GIVEN': 'yes'}\n"
        "pid = fork_module(['told', 'a', 'b c'], given, keep=[keep])\n"
        "print('kept', keep, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 'REMOVED' in os.environ)\n"
    )
    done = run_fork(code)
    assert done.stderr == ""
    child, files, at_exit, parent = done.stdout.splitlines()
    assert child == "__main__ ['a', 'b c'] yes False True"
    _, kept, status, has_it = parent.split()
    assert files == f"True [0, 1, 2, {kept}]"
    assert (at_exit, status, has_it) == ("at exit", "7", "True")


def test_forked_module_that_fails_says_why_and_runs_nothing_of_its_parent(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('of the fork')\n")
    (tmp_path / "refuses.py").write_text("raise SystemExit('refused')\n")
    code = (
        "import os, sys\n"
        "from app.process import fork_module\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "try:\n"
        "    for name in ('broken', 'refuses'):\n"
        "        pid = fork_module([name], dict(os.environ))\n"
        "        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "finally:\n"
        "    print('the end of', len(sys.argv))\n"
    )
    done = run_fork(code)
    assert done.stdout.splitlines() == ["1", "1", "the end of 1"]
    assert "ValueError: of the fork" in done.stderr
    assert done.stderr.endswith("refused\n")


@pytest.mark.skipif(sys.platform != "linux", reason="mappings are seen in /proc")
def test_pages_of_libraries_are_let_go_of_and_come_back_unchanged() -> None:
    # relocated pages of a library differ from its file: were they dropped, numpy and ssl would not live on
    code = """
import hashlib, json, ssl, sys
import numpy as np
from app.process import let_go_of_file_pages

def file_kib():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssFile:"))

before = file_kib()
let_go_of_file_pages()
after = file_kib()
print(after < before / 2, np.linalg.det(np.eye(3) * 2).round(6), json.loads("[1]"), hashlib.sha256(b"").hexdigest()[:8])
ssl.create_default_context()
"""
    done = run_fork(code)
    assert (done.stderr, done.stdout) == ("", "True 8.0 [1] e3b0c442\n")
