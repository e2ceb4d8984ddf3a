"""What predictions say, how good they were, and when that breaks a guard."""

from __future__ import annotations

import math
from typing import Any

import pytest

from app.releases.decide import Observed, Verdict, decide
from app.releases.quality import Quality, decision
from app.releases.release_plan import Guards, ReleasePlan, ReleaseStep
from tests.releases.test_decide import counts


@pytest.mark.parametrize(
    ("prediction", "said"),
    [
        ({"classes": ["Gentoo"], "class_ids": [2], "probabilities": [0.1, 0.2, 0.7]}, {"class": "Gentoo"}),
        ({"class_ids": [1], "logits": [3.0]}, {"class": "1"}),
        ({"predictions": [2.5]}, {"number": 2.5}),
        ({"y": 3}, {"number": 3.0}),
        (4.5, {"number": 4.5}),
        ([[4.5]], {"number": 4.5}),
        ("yes", {"class": "yes"}),
        ([["no", 0.2], ["yes", 0.8]], {"class": "yes"}),
        ({"a": 1.0, "b": 2.0}, {}),
        ([1.0, 2.0], {}),
        ({}, {}),
        (None, {}),
    ],
)
def test_what_a_prediction_says(prediction: Any, said: dict[str, Any]) -> None:
    assert decision(prediction) == said


def test_quality_of_classes_and_of_numbers() -> None:
    quality = Quality()
    for predicted, label in (("1", 1), ("a", "b"), ("a", "a"), ("a", "a")):
        quality.add({"class": predicted}, label)
    assert quality.row() == {"labelled": 4, "accuracy": 0.75}
    quality = Quality()
    for error in (1.0, -3.0):
        quality.add({"number": 10.0 + error}, 10)
    quality.add({}, 10)
    quality.add({"number": 1.0}, "text")
    assert quality.row() == {"labelled": 2, "mean_absolute_error": 2.0, "rmse": pytest.approx(math.sqrt(5.0))}
    assert quality.mean_and_error() == (2.0, pytest.approx(1.0))  # errors 1 and 3: s² = 2, over n = 2


def classes(right: int, wrong: int) -> Quality:
    return Quality(classes=right + wrong, wrong=wrong)


def numbers(*errors: float, times: int = 30) -> Quality:
    quality = Quality()
    for error in errors * times:
        quality.add({"number": error}, 0)
    return quality


@pytest.mark.parametrize(
    ("live", "new", "action"),
    [
        (classes(900, 100), classes(90, 10), "advance"),
        (classes(900, 100), classes(60, 40), "roll_back"),
        (classes(900, 100), classes(83, 17), "wait"),  # 17 of 100 at 12 %: may be
        (classes(900, 100), classes(10, 0), "wait"),  # too few labels
        (numbers(1.0, 2.0), numbers(1.0, 2.0), "advance"),
        (numbers(1.0, 2.0), numbers(2.0, 4.0), "roll_back"),
        (numbers(1.0, 2.0), numbers(1.0, 2.2), "wait"),
        (numbers(1.0, 2.0), classes(100, 0), "wait"),
    ],
)
def test_quality_guard(live: Quality, new: Quality, action: str) -> None:
    plan = ReleasePlan((ReleaseStep(100, 60.0, 10),), Guards(p99_ratio=None, quality=0.02))
    whole = Observed(counts(900), counts(100), live, new)
    decision_now = decide(plan, 0, 60.0, whole=whole, window=Observed(counts(900), counts(100)))
    assert decision_now.action == action, decision_now
    if action == "roll_back":
        assert "quality" in decision_now.reason
        assert decision_now.findings[1].verdict is Verdict.BROKEN
