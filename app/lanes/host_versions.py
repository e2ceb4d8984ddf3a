"""Presence of versions in the lanes of a host, so that a label moves in all of them together."""

from __future__ import annotations

import time
from collections.abc import Iterable

from app.host_table import HostTable, Row
from app.serving.versions import ServingVersion

_STATE = 0  # counter of a row
_LOADED, _FAILED = 1, 2
_PATIENCE_S = 30.0

Place = tuple[str, str]


class HostVersions:
    """What this lane tells of its versions, and hears of the others'."""

    def __init__(self, table: HostTable) -> None:
        self._table = table
        self._told: dict[Place, tuple[Row, int]] = {}
        self._waits: dict[Place, float] = {}

    def tell(self, versions: Iterable[ServingVersion]) -> None:
        """Called with all of them after each change."""
        now = {_place(version): state for version in versions if (state := _state(version))}
        for place in [place for place in self._told if place not in now]:
            self._told.pop(place)[0].set(_STATE, 0)
        for place, state in now.items():
            row, told = self._told.get(place) or (self._table.row(_name(place)), 0)
            if row is not None and (told != state or not row.valid):
                row.set(_STATE, state)
                self._told[place] = row, state

    def everywhere(self, version: ServingVersion) -> bool:
        """Whether each lane that serves has it, or cannot have it, or was waited for for half a minute."""
        place = _place(version)
        row = self._table.row(_name(place))
        if row is None or all(row.of_seat(_STATE, seat) for seat in self._table.serving_elsewhere()):
            self._waits.pop(place, None)
            return True
        since = self._waits.setdefault(place, time.monotonic())
        return time.monotonic() - since > _PATIENCE_S


def _place(version: ServingVersion) -> Place:
    return version.wanted.path, version.wanted.digest


def _name(place: Place) -> str:
    return f"version {place[0]} {place[1]}"


def _state(version: ServingVersion) -> int:
    if version.loaded:
        return _LOADED
    return _FAILED if version.error is not None else 0
