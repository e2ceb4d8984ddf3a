"""Versions and labels in the lanes of a host, so that a label moves in all of them together, and it is known when."""

from __future__ import annotations

import time

from app.host_table import HostTable, Row
from app.serving.serving_version import ServingVersion
from app.serving.versions import Models

_STATE = 0  # counter of a row
_LOADED, _FAILED = 1, 2
_PATIENCE_S = 30.0


class HostVersions:
    """What this lane tells of its versions and labels, and hears of the others': rows of the table have a version's
    state, or a label's revision."""

    def __init__(self, table: HostTable) -> None:
        self._table = table
        self._told: dict[str, tuple[Row, int]] = {}
        self._waits: dict[str, float] = {}

    def tell(self, models: Models) -> None:
        """Called after each change."""
        now = {_name(version): state for version in models.versions.values() if (state := _state(version))}
        now |= {_label(model, label): revision for (model, label), revision in models.in_force().items()}
        for name in [name for name in self._told if name not in now]:
            self._told.pop(name)[0].set(_STATE, 0)
        for name, state in now.items():
            row, told = self._told.get(name) or (self._table.row(name), 0)
            if row is not None and (told != state or not row.valid):
                row.set(_STATE, state)
                self._told[name] = row, state

    def everywhere(self, version: ServingVersion) -> bool:
        """Whether each lane that serves has it, or cannot have it, or was waited for for half a minute."""
        name = _name(version)
        row = self._table.row(name)
        if row is None or all(row.of_seat(_STATE, seat) for seat in self._table.serving_elsewhere()):
            self._waits.pop(name, None)
            return True
        since = self._waits.setdefault(name, time.monotonic())
        return time.monotonic() - since > _PATIENCE_S

    def follow(self, model: str, label: str, revision: int) -> bool:
        """Whether each other lane that serves answers by the label as that revision of it says, or a later one. True
        where the table has no room for the label."""
        row = self._table.row(_label(model, label))
        seats = self._table.serving_elsewhere()
        return row is None or all(row.of_seat(_STATE, seat) >= revision for seat in seats)


def _name(version: ServingVersion) -> str:
    return f"version {version.wanted.path} {version.wanted.digest}"


def _label(model: str, label: str) -> str:
    return f"label {model} {label}"


def _state(version: ServingVersion) -> int:
    if version.loaded:
        return _LOADED
    return _FAILED if version.error is not None else 0
