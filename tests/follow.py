"""Follows a page of the documentation word for word: runs its blocks in order and compares what they print.

| in the page | what is done |
|---|---|
| a block `sh` | run by bash, in the page's folder; it stops at the first command that fails |
| a block `python` | run by one interpreter, which keeps its names for the whole page |
| a block `text` after one of those | each line of it stands in what was printed, in this order; `…` is anything |
| a numbered list | done in a browser, see `Hand` |

A block whose first line has another word behind its language (`sh backup-sqlite`) belongs to another test.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tests.e2e.browser import Browser
from tests.pages import Block, blocks
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]
_STEP = re.compile(r"^\d+\. (.+(?:\n   .+)*)", re.MULTILINE)
_ACTION = re.compile(
    r"(?P<open>[Oo]pen) <(?P<url>[^>]+)>"
    r"|(?P<secret>[Tt]ype the content of the file) `(?P<file>[^`]+)` into \*\*(?P<box>[^*]+)\*\*"
    r"|(?P<choose>[Cc]hoose the file) `(?P<path>[^`]+)` for \*\*(?P<input>[^*]+)\*\*"
    r"|(?P<type>[Tt]ype|and) `(?P<text>[^`]+)` into \*\*(?P<field>[^*]+)\*\*"
    r"|(?P<press>[Pp]ress) \*\*(?P<name>[^*]+)\*\*"
    r"|(?P<wait>[Ww]ait for) \*\*(?P<shown>[^*]+)\*\*"
)
_INTERPRETER = """
import json, sys
space = {"__name__": "__main__"}
for line in sys.stdin:
    exec(compile(json.loads(line), "the page", "exec"), space)
    print("\\0", flush=True)
"""


def steps(text: str) -> list[str]:
    """The items of the numbered lists of a text, one line each."""
    return [re.sub(r"\s+", " ", item) for item in _STEP.findall(text)]


class Reader:
    """A person with a terminal, in a folder. Use as a context manager.

    Args:
        folder: where the commands run.
        environment: for commands, beside our own.
        replace: texts of the page that are others here, such as the service's address.
    """

    def __init__(self, folder: Path, environment: dict[str, str], replace: dict[str, str] | None = None) -> None:
        self.folder, self.replace = folder, replace or {}
        programs = folder / ".programs"
        programs.mkdir()
        command = programs / "estimator-service"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m estimator_client "$@"\n')
        command.chmod(0o755)
        path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "300"}
        self.environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | quiet | environment
        self._python: subprocess.Popen[str] | None = None
        self.printed = ""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._python:
            self._python.communicate(timeout=30)

    def follow(self, page: Path) -> int:
        """Runs the page's blocks that name no other test; returns how many were run."""
        done = 0
        for block in blocks(page):
            done += block.info in {"sh", "python"}
            try:
                self.run(block)
            except AssertionError as error:
                raise AssertionError(f"{page.name}, line {block.line}: {error}") from error
        return done

    def run(self, block: Block) -> None:
        text = block.text
        for here, there in self.replace.items():
            text = text.replace(here, there)
        if block.info == "sh":
            done = subprocess.run(
                ["bash", "-ec", text],
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=500,
            )
            self.printed = done.stdout
            assert done.returncode == 0, done.stdout
        elif block.info == "python":
            self._run_python(text)
        elif block.info == "text":
            self.compare(block.text)

    def compare(self, expected: str) -> None:
        """Whether what was printed has these lines in this order."""
        printed = iter(self.printed.splitlines())
        for line in expected.splitlines():
            pattern = ".*".join(r"\s+".join(map(re.escape, part.split(" "))) for part in line.strip().split("…"))
            found = any(re.fullmatch(rf"\s*{pattern}\s*", one) for one in printed)
            assert found, f"{line!r} is not (in this order) in:\n{self.printed}"

    def _run_python(self, text: str) -> None:
        if self._python is None:
            self._python = subprocess.Popen(
                [sys.executable, "-c", _INTERPRETER],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        assert self._python.stdin
        assert self._python.stdout
        self._python.stdin.write(json.dumps(text) + "\n")
        self._python.stdin.flush()
        lines = list(itertools.takewhile(lambda line: line != "\0\n", self._python.stdout))
        self.printed = "".join(lines)
        try:
            self._python.wait(0)
        except subprocess.TimeoutExpired:
            return  # it waits for the next block
        raise AssertionError(self.printed)


class Hand:
    """Does in a browser what numbered lists say: "Open <URL>", "press **NAME**", "type `TEXT` into **LABEL**",
    "type the content of the file `NAME` into **LABEL**", "choose the file `NAME` for **LABEL**", "wait for **TEXT**".
    Other words are for people.

    Args:
        folder: where the files are.
    """

    def __init__(self, browser: Browser, folder: Path, replace: dict[str, str]) -> None:
        self.browser, self.folder, self.replace = browser, folder, replace
        self._words = ""

    def follow(self, text: str) -> int:
        """Does all steps of a text; returns how many actions that were."""
        done = 0
        for step in steps(text):
            actions = list(_ACTION.finditer(step))
            assert actions, f"nothing to do in: {step}"
            for action in actions:
                self._do(action)
                done += 1
        return done

    def _do(self, action: re.Match[str]) -> None:
        self._words = action[0]
        if action["open"]:
            url = action["url"]
            for here, there in self.replace.items():
                url = url.replace(here, there)
            self.browser.open(url)
        elif action["secret"]:
            self._type(action["box"], (self.folder / action["file"]).read_text().strip())
        elif action["choose"]:
            self._type(action["input"], str(self.folder / action["path"]))
        elif action["type"]:
            self._type(action["field"], action["text"])
        elif action["press"]:
            self._told(lambda: self.browser.click("a, button, summary", action["name"]))
        else:
            shown = action["shown"]
            self._told(lambda: wait_for(lambda: shown in self.browser.text("body"), f"{shown!r} on the page"))

    def _type(self, label: str, text: str) -> None:
        # in one script: a page that is drawn again would take a mark away
        script = (
            "return [...document.querySelectorAll('label')].find((e) => e.innerText.trim() === arguments[0]"
            " && e.offsetParent !== null)?.htmlFor"
        )
        self._told(lambda: wait_for(lambda: bool(self.browser.run(script, label)), f"a field called {label!r}"))
        field = self.browser.run(script, label)
        self.browser.run("const e = document.getElementById(arguments[0]); if (e.type !== 'file') e.value = ''", field)
        self.browser.type(f'[id="{field}"]', text)

    def _told(self, act: Callable[[], None]) -> None:
        """Does it; where that fails, the message has the page's text and the words that were followed."""
        try:
            act()
        except AssertionError as error:
            raise AssertionError(f"{self._words}: {error}; there is:\n{self.browser.text('body')}") from None
