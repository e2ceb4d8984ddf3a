"""docs/settings.md against the settings themselves."""

from __future__ import annotations

import re
from pathlib import Path

from app.config import Settings

ROWS = re.findall(
    r"^\| `([A-Z0-9_]+)` \| (?:`([^`]*)`|empty) \| (.+) \|$",
    (Path(__file__).parents[1] / "docs" / "settings.md").read_text(),
    re.MULTILINE,
)


def test_every_setting_stands_in_the_table_once_in_the_same_order() -> None:
    assert [name.lower() for name, _, _ in ROWS] == list(Settings.model_fields)


def test_documented_defaults_are_those_of_the_code() -> None:
    written = {name.lower(): default for name, default, _ in ROWS}
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert written == {name: "" if value is None else str(value) for name, value in defaults.items()}
