"""docs/cli.md against the command line itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from estimator_client.cli.exits import Exit
from estimator_client.cli.root import app
from tests.documented import on_pages, words

TEXT = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def commands() -> set[str]:
    """Every command, with its group before it."""
    root = typer.main.get_command(app)
    found = set()
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found |= {f"{name} {one}" for one in inner} if inner else {name}
    return found


def documented() -> set[str]:
    found = set()
    for cell in re.findall(r"^\| (`[a-z].*?`) \|", TEXT, re.MULTILINE):
        group = ""
        for name in re.findall(r"`([^`]+)`", cell):
            group = name.split()[0] if " " in name else group
            found.add(name if " " in name or not group else f"{group} {name}")
    return found


def test_every_command_stands_in_the_table() -> None:
    assert documented() == commands()


def test_every_exit_status_stands_in_the_table_once() -> None:
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)] == sorted(Exit)


@pytest.mark.parametrize("line", sorted(line for line in on_pages() if line.startswith("estimator-service ")))
def test_documented_command_lines_are_understood(line: str) -> None:
    """Parsed, not run: a command, an option or a number of arguments that there is not ends with SystemExit."""
    _, *arguments = words(re.split(r" (?:\|\|?|>|&&) ", line)[0].removesuffix(" …"))
    root = typer.main.get_command(app)
    if arguments[0] in {option for parameter in root.params if parameter.callback for option in parameter.opts}:
        return  # it would do at once what it says, as install the completion of the shell above, if there is one
    try:
        context = root.make_context("estimator-service", arguments)
        rest = context._protected_args + context.args
        name, command, rest = root.resolve_command(context, rest)  # type: ignore[attr-defined]
        while hasattr(command, "resolve_command") and rest:
            name, command, rest = command.resolve_command(context, rest)
        if rest and not hasattr(command, "resolve_command"):
            command.make_context(name, rest, parent=context)
    except SystemExit as ended:  # of --version and the like
        assert ended.code == 0
