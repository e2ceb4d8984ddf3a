"""JSON pointers (RFC 6901): the place of a value in a JSON text. Imports nothing of ours."""

from __future__ import annotations


def escaped(part: object) -> str:
    """One part of a pointer: a key or an index."""
    return str(part).replace("~", "~0").replace("/", "~1")


def pointer(*parts: object) -> str:
    """The pointer to the value under these keys and indexes; empty for the whole text."""
    return "".join("/" + escaped(part) for part in parts)
