"""docs/cli.md against the command line itself."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from estimator_client.cli.exits import Exit
from estimator_client.cli.root import app

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
