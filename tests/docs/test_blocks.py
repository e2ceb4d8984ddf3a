"""Every fenced block of README and docs is run by a test, or it stands here why not."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.pages import Block, blocks

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FOLLOWED = "tests/e2e/test_tutorials.py"

#: (page, language and name of the block) → the test that runs it. The first that fits counts.
RUN_BY = {
    ("README.md", "python"): "tests/packages/test_wheels.py",
    ("docs/client.md", "python"): _FOLLOWED,
    ("docs/how-to/backup.md", "sh *"): "tests/test_operations.py",
    ("docs/how-to/own-model-fn.md", "* *"): "tests/e2e/test_operation.py",
    ("docs/how-to/*.md", "sh"): _FOLLOWED,
    ("docs/how-to/*.md", "python"): _FOLLOWED,
    ("docs/how-to/*.md", "text"): _FOLLOWED,
    ("docs/jobs.md", "json"): "tests/api/test_job_reference.py",
    ("docs/tutorials/*.md", "sh"): _FOLLOWED,
    ("docs/tutorials/*.md", "python"): _FOLLOWED,
    ("docs/tutorials/*.md", "text"): _FOLLOWED,
}
#: Blocks that are no commands, with the reason.
NOT_RUN = {
    ("docs/how-to/object-store.md", "ini"): "settings of somebody's bucket; tests/object_store has the same of its own",
    ("docs/releases.md", "sh"): "asks for versions 7 and 8; the same requests are in tests/serving and tests/api",
    ("docs/serving-protocols.md", "python"): "a client of another project; tests/protocols/clients has the same calls",
}


def found(table: dict[tuple[str, str], str], page: str, block: Block) -> str | None:
    return next(
        (test for (name, info), test in table.items() if fnmatch(page, name) and fnmatch(block.info, info)), None
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_fenced_block_is_run_or_it_is_said_why_not(page: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    for block in blocks(page):
        run_by = found(RUN_BY, name, block)
        assert run_by or found(NOT_RUN, name, block), (
            f"{name}, line {block.line}: no test runs this block ({block.info})"
        )
        if run_by == _FOLLOWED:
            assert (
                f'"{name.removeprefix("docs/").removeprefix("tutorials/").removesuffix(".md")}"'
                in (ROOT / _FOLLOWED).read_text()
            ), f"{name} is not followed by {_FOLLOWED}"


def test_the_tests_that_are_named_exist_and_nothing_is_listed_that_is_not_there() -> None:
    assert all((ROOT / test).is_file() for test in RUN_BY.values())
    pages = {page.relative_to(ROOT).as_posix(): blocks(page) for page in PAGES}
    for table in (RUN_BY, NOT_RUN):
        for name, info in table:
            there = any(fnmatch(block.info, info) for page in pages if fnmatch(page, name) for block in pages[page])
            assert there, (name, info)


def test_fences_are_closed() -> None:
    for page in PAGES:
        assert len(re.findall(r"^ *```", page.read_text(), re.MULTILINE)) == 2 * len(blocks(page)), page
