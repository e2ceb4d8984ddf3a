"""A newcomer's questions: docs/architecture.md answers each with a file and a symbol that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = {
    question: (path, symbol)
    for question, path, symbol in re.findall(
        r"^\| (.+\?) \| `([^`]+)` `([^`]+)` \|$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE
    )
}
#: What people asked who were new, by words that the row's question has.
ASKED = (
    "lease extended",
    "version is loaded",
    "head's metric",
    "between two training steps",
    "refused for its size",
    "job claimed",
    "token checked",
    "rows put into batches",
    "checkpoint written",
    "job request become a specification",
)


def defined(path: Path) -> set[str]:
    """Names of functions, classes and methods (`Class.method`) of a module."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


@pytest.mark.parametrize("words", ASKED)
def test_every_question_that_was_asked_has_an_answer(words: str) -> None:
    assert len([question for question in ROWS if words in question]) == 1


@pytest.mark.parametrize("question", ROWS)
def test_answers_name_what_is_there(question: str) -> None:
    path, symbol = ROWS[question]

    assert symbol in defined(ROOT / path)
    # two clicks from a folder of the root: folder, folder, file; one more below the registry's jobs
    assert len(Path(path).parts) <= 4
