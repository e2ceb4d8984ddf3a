"""Whether two answers to one request agree."""

from __future__ import annotations

import json
import math
from typing import Any

RELATIVE, ABSOLUTE = 0.01, 1e-6
"""Numbers agree that lie as near to each other as this."""
_DECISIONS = ("class_ids", "classes")


def compare(live: bytes, other: bytes) -> tuple[bool, float]:
    """Whether two bodies of predictions agree, and the largest difference between two numbers of the same place.

    Where an answer names classes, they alone decide: probabilities may differ. Else texts must be equal, and numbers
    near. Answers of different shapes do not agree.
    """
    if live == other:
        return True, 0.0
    first, second = json.loads(live), json.loads(other)
    difference = _difference(first, second)
    return _agree(first, second), difference


def _agree(first: Any, second: Any) -> bool:
    if isinstance(first, dict) and isinstance(second, dict):
        if first.keys() != second.keys():
            return False
        deciding = [name for name in _DECISIONS if name in first] or list(first)
        return all(_agree(first[name], second[name]) for name in deciding)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_agree, first, second))
    if _is_number(first) and _is_number(second):
        return math.isclose(first, second, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(first == second)


def _difference(first: Any, second: Any) -> float:
    if isinstance(first, dict) and isinstance(second, dict):
        return max((_difference(first[name], second[name]) for name in first.keys() & second.keys()), default=0.0)
    if isinstance(first, list) and isinstance(second, list):
        return max(map(_difference, first, second), default=0.0)
    if _is_number(first) and _is_number(second):
        found = abs(first - second)
        return float(found) if math.isfinite(found) else 0.0
    return 0.0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
