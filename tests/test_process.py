from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.config import Settings
from app.process import machine_memory_bytes

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


def test_limit_of_a_trainer_is_nine_tenths_of_the_machine_unless_set() -> None:
    assert Settings(job_memory_bytes=None).job_memory_limit == machine_memory_bytes() * 9 // 10
    assert Settings(job_memory_bytes=5).job_memory_limit == 5
    assert Settings(job_memory_bytes=0).job_memory_limit is None
