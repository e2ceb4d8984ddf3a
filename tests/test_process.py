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
