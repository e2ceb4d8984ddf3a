"""Reads TensorFlow's profiles (`*.xplane.pb`) and writes them as Chrome traces.

Only what a trace needs is read from the protocol buffer: XSpace.planes=1; XPlane.name=2, lines=3, event_metadata=4 (a
map of id=1 to XEventMetadata id=1, name=2); XLine.name=2, timestamp_ns=3, events=4; XEvent.metadata_id=1,
offset_ps=2, duration_ps=3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def chrome_trace(profile: bytes) -> dict[str, Any]:
    """The profile as a Chrome trace: one process per plane, one thread per line, times in microseconds."""
    events: list[dict[str, Any]] = []
    for process, plane in enumerate(_all(profile, 1)):
        names = _event_names(plane)
        events.append(_label("process_name", process, 0, _text(plane, 2)))
        for thread, line in enumerate(_all(plane, 3)):
            events.append(_label("thread_name", process, thread, _text(line, 2)))
            start_ns = _number(line, 3)
            for event in _all(line, 4):
                events.append(
                    {
                        "ph": "X",
                        "pid": process,
                        "tid": thread,
                        "name": names.get(_number(event, 1), ""),
                        "ts": start_ns / 1e3 + _number(event, 2) / 1e6,
                        "dur": _number(event, 3) / 1e6,
                    }
                )
    return {"traceEvents": events}


def _label(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}


def _event_names(plane: bytes) -> dict[int, str]:
    names = {}
    for entry in _all(plane, 4):
        for metadata in _all(entry, 2):
            names[_number(entry, 1)] = _text(metadata, 2)
    return names


def _all(message: bytes, field: int) -> Iterator[bytes]:
    return (value for number, value in _fields(message) if number == field and isinstance(value, bytes))


def _number(message: bytes, field: int) -> int:
    return next((value for number, value in _fields(message) if number == field and isinstance(value, int)), 0)


def _text(message: bytes, field: int) -> str:
    return next(_all(message, field), b"").decode("utf-8", "replace")


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of a protocol buffer message, in order."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
        elif kind == 2:
            size, at = _varint(message, at)
            yield number, message[at : at + size]
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"Not a profile: wire type {kind} at byte {at}.")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
