"""Quality of predictions, by the labels that came back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


def decision(prediction: Any) -> dict[str, Any]:
    """What a prediction says, to be compared with a label: {"class": text} or {"number": value}; {} when neither can
    be told (a vector, several outputs without classes)."""
    if isinstance(prediction, dict):
        for name in ("classes", "class_ids"):
            if name in prediction:
                found = _one(prediction[name])
                return {} if found is None else {"class": str(found)}
        if "predictions" in prediction:
            return decision(prediction["predictions"])
        return decision(next(iter(prediction.values()))) if len(prediction) == 1 else {}
    if is_ranking(prediction):
        return {"class": max(prediction, key=lambda pair: pair[1])[0]}
    value = _one(prediction)
    if isinstance(value, bool | str):
        return {"class": str(value)}
    return {} if value is None else {"number": float(value)}


def is_ranking(value: Any) -> bool:
    """Whether it is `:classify`'s answer for an example: pairs of a class and its score."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in value)
        and all(isinstance(pair[1], int | float) for pair in value)
    )


def _one(value: Any) -> str | int | float | bool | None:
    """A value, or the only one of a list."""
    while isinstance(value, list):
        if len(value) != 1:
            return None
        value = value[0]
    return value if isinstance(value, str | int | float | bool) else None


@dataclass
class Quality:
    """Sums over predictions with a label.

    Attributes:
        classes, wrong: that named a class, and another than the label.
        numbers, absolute, squared: that were numbers; sums of their errors, absolute and squared.
    """

    classes: int = 0
    wrong: int = 0
    numbers: int = 0
    absolute: float = 0.0
    squared: float = 0.0

    def add(self, predicted: dict[str, Any], label: Any) -> None:
        """One prediction; what cannot be judged is left out."""
        if "class" in predicted:
            self.classes += 1
            self.wrong += predicted["class"] != str(label)
        elif "number" in predicted and isinstance(label, int | float):
            error = abs(predicted["number"] - label)
            if math.isfinite(error):
                self.numbers += 1
                self.absolute += error
                self.squared += error * error

    @property
    def labelled(self) -> int:
        return self.classes + self.numbers

    def row(self) -> dict[str, Any]:
        """For people: only what there is."""
        found: dict[str, Any] = {"labelled": self.labelled}
        if self.classes:
            found["accuracy"] = 1 - self.wrong / self.classes
        if self.numbers:
            found["mean_absolute_error"] = self.absolute / self.numbers
            found["rmse"] = math.sqrt(self.squared / self.numbers)
        return found

    def mean_and_error(self) -> tuple[float, float]:
        """Mean of the absolute errors, and the standard error of that mean. Two numbers at least."""
        mean = self.absolute / self.numbers
        variance = max(0.0, self.squared - self.numbers * mean * mean) / (self.numbers - 1)
        return mean, math.sqrt(variance / self.numbers)
