"""Whether two answers to one request agree."""

from __future__ import annotations

import json
import math
from typing import Any

from app.releases.quality import is_ranking

RELATIVE, ABSOLUTE = 0.01, 1e-6
"""Numbers agree that lie as near to each other as this."""
DECISIONS = ("class_ids", "classes")
"""Outputs that name classes."""


def compare(live: bytes, other: bytes) -> tuple[bool, float]:
    """Whether two bodies of predictions agree, and the largest difference between two numbers of the same place.

    Where an answer names classes, they alone decide: probabilities may differ. Where it has a score for each class,
    that is the class with the highest. Else texts must be equal, and numbers near. Answers of different shapes do not
    agree.
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
        pairs, others = _pairs(first), _pairs(second)
        if pairs is not None and others is not None:
            return _agree(pairs, others)
        deciding = [name for name in DECISIONS if name in first]
        if deciding:
            return all(first[name] == second[name] for name in deciding)
        return all(_agree(first[name], second[name]) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        if _ranks_classes(first) and _ranks_classes(second):
            return _best(first) == _best(second)
        return len(first) == len(second) and all(map(_agree, first, second))
    if _is_number(first) and _is_number(second):
        return math.isclose(first, second, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(first == second)


def _pairs(answer: dict[str, Any]) -> list[Any] | None:
    """Pairs of each class and its score, where an answer has them as two outputs: of a row, or of all rows."""
    scores, classes = answer.get("scores"), answer.get("classes")
    if not isinstance(scores, list) or not isinstance(classes, list) or len(scores) != len(classes) or not scores:
        return None
    if isinstance(scores[0], list):
        rows = [_pairs({"scores": one, "classes": other}) for one, other in zip(scores, classes, strict=True)]
        return None if None in rows else rows
    pairs = [list(pair) for pair in zip(classes, scores, strict=True)]
    return pairs if _ranks_classes(pairs) else None


def _ranks_classes(value: list[Any]) -> bool:
    """Whether it has a score for each of several classes; a head without names of classes leaves "" in their place."""
    return len(value) > 1 and is_ranking(value) and len({name for name, _ in value}) == len(value)


def _best(ranking: list[Any]) -> str:
    return str(max(ranking, key=lambda pair: pair[1])[0])


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
