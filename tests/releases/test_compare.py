"""Whether two answers agree, and by how much they differ."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.releases.compare import compare


@pytest.mark.parametrize(
    ("live", "other", "agrees", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.0], True, 0.0),
        ([1.0, 2.0], [1.0, 2.01], True, 0.01),
        ([1.0, 2.0], [1.0, 2.5], False, 0.5),
        ([{"y": 1.0}], [{"y": 1.0}, {"y": 1.0}], False, 0.0),
        (
            [{"probabilities": [0.4, 0.6], "class_ids": [1]}],
            [{"probabilities": [0.1, 0.9], "class_ids": [1]}],
            True,
            0.3,
        ),
        (
            [{"probabilities": [0.4, 0.6], "classes": ["b"]}],
            [{"probabilities": [0.6, 0.4], "classes": ["a"]}],
            False,
            0.2,
        ),
        ([{"class_ids": [200]}], [{"class_ids": [201]}], False, 1.0),  # as numbers they were near
        ([[["a", 0.4], ["b", 0.6]]], [[["a", 0.1], ["b", 0.9]]], True, 0.3),  # what :classify answers
        ([[["a", 0.4], ["b", 0.6]]], [[["a", 0.6], ["b", 0.4]]], False, 0.2),
        ([[["", 0.4], ["", 0.6]]], [[["", 0.6], ["", 0.4]]], False, 0.2),  # no names: the scores decide
        (
            [{"scores": [0.4, 0.6], "classes": ["a", "b"]}],  # the same classes in each row, whatever the scores
            [{"scores": [0.6, 0.4], "classes": ["a", "b"]}],
            False,
            0.2,
        ),
        (
            {"scores": [[0.4, 0.6]], "classes": [["a", "b"]]},
            {"scores": [[0.3, 0.7]], "classes": [["a", "b"]]},
            True,
            0.1,
        ),
        ([{"a": 1}], [{"b": 1}], False, 0.0),
        (["x"], ["y"], False, 0.0),
        ([None], [None], True, 0.0),
    ],
)
def test_answers_agree(live: Any, other: Any, agrees: bool, difference: float) -> None:
    bodies = [json.dumps({"predictions": value}).encode() for value in (live, other)]
    found, by = compare(*bodies)
    assert found is agrees
    assert by == pytest.approx(difference)
