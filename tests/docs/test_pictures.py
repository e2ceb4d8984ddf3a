"""The pictures of docs/concepts: drawn from their sources, which say what the code says."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from app.jobs.state import TRANSITIONS, VersionState
from scripts.pictures import CONCEPTS, ROOT, draw
from scripts.screenshots import PICTURES, STORY, STORY_BYTES

SOURCES = sorted(CONCEPTS.glob("*.toml"))


def source(name: str) -> dict[str, Any]:
    return tomllib.loads((CONCEPTS / f"{name}.toml").read_text())


@pytest.mark.parametrize("name", [path.stem for path in SOURCES])
def test_picture_is_drawn_from_its_source_and_shown_on_its_page(name: str) -> None:
    assert (CONCEPTS / f"{name}.svg").read_text() == draw(source(name)), "run scripts/pictures"
    page = CONCEPTS / f"{name}.md"
    assert f"{name}.svg)" in (page if page.exists() else ROOT / "docs" / "architecture.md").read_text()


def test_arrows_of_a_job_are_the_legal_transitions() -> None:
    arrows = [(arrow["from"], arrow["to"]) for arrow in source("job")["arrow"]]
    assert len(arrows) == len(set(arrows))
    assert set(arrows) == {(before.value, after.value) for before, after in TRANSITIONS}


def test_boxes_of_a_version_are_its_states() -> None:
    assert {box["name"] for box in source("version")["box"]} - {"export"} == {state.value for state in VersionState}


def test_every_screenshot_is_made_by_the_script_and_shown() -> None:
    made = set(re.findall(r'camera\.take\(\s*"(\w+)"', (ROOT / "scripts" / "screenshots.py").read_text()))
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.png")} == {
        f"docs/pictures/{name}.png" for name in made
    }
    pages = "".join(page.read_text() for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    assert [name for name in made if f"pictures/{name}.png)" not in pages] == []


def test_moving_picture_of_the_readme_moves_and_is_small() -> None:
    picture = (PICTURES / STORY).read_bytes()
    assert (picture[:4], picture[8:12]) == (b"RIFF", b"WEBP")
    assert picture.count(b"ANMF") > 5
    assert len(picture) <= STORY_BYTES
    assert f"(docs/pictures/{STORY})" in (ROOT / "README.md").read_text()
