"""The commands that README, docs, compose file and Dockerfile tell people to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CURL = ROOT / "docs" / "how-to" / "curl.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_PROGRAMS = r"(?:scripts/\w+|celery |python3? -[mc] |docker |tensorboard |sqlite3 |estimator-service )"
_BLOCK = re.compile(rf"^ {{4,}}(?:\$ )?((?:[A-Z_]+=\S+ )*)({_PROGRAMS}[^#\n]*)", re.MULTILINE)


def on_pages() -> dict[str, set[str]]:
    """Command → the pages that show it."""
    found: dict[str, set[str]] = {}
    for page in PAGES:
        text = page.read_text()
        inline = [match for match in re.findall(r"`([^`\n]+)`", text) if re.match(_PROGRAMS, match)]
        for command in [*inline, *(command for _, command in _BLOCK.findall(text))]:
            found.setdefault(command.strip(), set()).add(page.relative_to(ROOT).as_posix())
    return found


def variables() -> set[str]:
    """Environment variables that are set in front of commands, or exported before them."""
    found: set[str] = set()
    for page in PAGES:
        text = page.read_text()
        found |= {name for before, _ in _BLOCK.findall(text) for name in re.findall(r"([A-Z_]+)=", before)}
        found |= set(re.findall(r"^ {4,}export (\w+)=", text, re.MULTILINE))
    return found


def compose() -> dict[str, Any]:
    """The compose file, anchors and merges resolved."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def image_command() -> list[str]:
    """What the image runs when nothing else is asked for."""
    (command,) = re.findall(r"^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    parsed: list[str] = yaml.safe_load(command)
    return parsed


def curl_commands() -> list[str]:
    """The way with curl, one shell command each, in order, without the comments behind them."""
    lines = [
        re.sub(r"\s+# .*", "", line.removeprefix("    "))
        for line in CURL.read_text().splitlines()
        if line.startswith("    ")
    ]
    commands = re.split(r"^(?=curl )", "\n".join(lines), flags=re.MULTILINE)
    return [command.strip() for command in commands if command.startswith("curl ")]


def words(command: str) -> list[str]:
    return shlex.split(command)
