"""The part of a report about a classifier: confusion matrix, numbers per class, curves and calibration.

Definitions are scikit-learn's (`confusion_matrix`, `precision_recall_fscore_support`, `log_loss`); the tests compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.report import curves

#: Classes with curves of their own (the most frequent ones), and classes of a stored confusion matrix.
CURVE_CLASSES = 20
MATRIX_CLASSES = 100
_SMALLEST = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Classified:
    """Rows with their class and the probabilities that a model gave.

    Attributes:
        labels: class numbers, int64 [n].
        probabilities: float64 [n, classes]; each row sums to 1.
        names: how the classes are written, one per class.
        weights: float64 [n], or None for 1 each.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    names: list[str]
    weights: NDArray[np.float64] | None = None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Class numbers, int64 [n]: the most probable one, the first of equal ones."""
        return np.asarray(np.argmax(self.probabilities, axis=1), np.int64)

    @property
    def correct(self) -> NDArray[np.float64]:
        """1.0 where the predicted class is the row's, else 0.0; [n]."""
        return np.asarray(self.predicted == self.labels, np.float64)

    def losses(self) -> NDArray[np.float64]:
        """Cross entropy of each row in nats, [n]; probabilities are kept above 2.2e-16."""
        chosen = self.probabilities[np.arange(len(self.labels)), self.labels]
        return -np.log(np.clip(chosen, _SMALLEST, 1.0))


def describe(data: Classified) -> dict[str, Any]:
    """The classification part of a report, as JSON values."""
    classes = len(data.names)
    matrix = confusion(data.labels, data.predicted, classes, data.weights)
    weights = np.ones(len(data.labels)) if data.weights is None else data.weights
    per_class = _per_class(matrix, data.names)
    support = matrix.sum(axis=1)
    found: dict[str, Any] = {
        "kind": "binary" if classes == 2 else "multiclass",
        "metrics": {
            "accuracy": float(np.sum(weights * data.correct) / weights.sum()),
            "log_loss": float(np.sum(weights * data.losses()) / weights.sum()),
            **_averages(per_class, support),
        },
        "classes": per_class,
        "calibration": _confidence(data),
    }
    if classes <= MATRIX_CLASSES:
        found["confusion"] = {"labels": data.names, "matrix": matrix.tolist()}
    wanted = [1] if classes == 2 else np.argsort(-support, kind="stable")[:CURVE_CLASSES].tolist()
    found["curves"] = [one_against_rest(data, number) for number in wanted]
    return found


def one_against_rest(data: Classified, number: int) -> dict[str, Any]:
    """Curves and threshold counts of one class against all others."""
    positive, scores = data.labels == number, data.probabilities[:, number]
    return {"class": data.names[number], **binary_curves(positive, scores, data.weights)}


def binary_curves(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> dict[str, Any]:
    """Curves, calibration and threshold counts of a score in [0, 1] for a yes or no."""
    counts = curves.Cumulated.of(positive, scores, weights)
    return {
        "roc": curves.roc(counts),
        "precision_recall": curves.precision_recall(counts),
        "calibration": curves.calibration(positive, scores, weights),
        "thresholds": curves.threshold_counts(counts),
    }


def confusion(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Summed weights by true class (row) and predicted class (column), [classes, classes]."""
    cells = np.bincount(labels * classes + predicted, weights, classes * classes)
    return cells.reshape(classes, classes).astype(np.float64)


def _per_class(matrix: NDArray[np.float64], names: list[str]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support; null where nothing was predicted, or no row is, of the class."""
    found = []
    for number, name in enumerate(names):
        hits, truth, guesses = matrix[number, number], matrix[number].sum(), matrix[:, number].sum()
        precision = float(hits / guesses) if guesses else None
        recall = float(hits / truth) if truth else None
        f1 = float(2 * hits / (truth + guesses)) if truth + guesses else None
        found.append({"class": name, "precision": precision, "recall": recall, "f1": f1, "support": float(truth)})
    return found


def _averages(per_class: list[dict[str, Any]], support: NDArray[np.float64]) -> dict[str, float]:
    """Unweighted (macro) means over the classes that occur as label or prediction; undefined values count as 0."""
    seen = [entry for entry in per_class if entry["f1"] is not None]
    if not seen or not support.sum():
        return {}
    return {
        f"macro_{name}": float(np.mean([entry[name] or 0.0 for entry in seen]))
        for name in ("precision", "recall", "f1")
    }


def _confidence(data: Classified) -> dict[str, Any]:
    """Calibration of the highest probability of each row against being right."""
    return curves.calibration(data.correct == 1.0, data.probabilities.max(axis=1), data.weights)
