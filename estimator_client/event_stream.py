"""Events of a job, as the service streams them (Server-Sent Events)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from estimator_client.errors import Json


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: `kind` is state, progress, checkpoint, evaluation, export or warning."""

    id: int
    kind: str
    data: Json


@dataclass
class EventReader:
    """Puts events together from the lines of the stream."""

    _fields: dict[str, str] = field(default_factory=dict)

    def line(self, line: str) -> Event | None:
        """The event that the line completes, if it does."""
        if line:
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        return Event(int(fields["id"]), fields.get("event", "message"), json.loads(fields["data"]))
