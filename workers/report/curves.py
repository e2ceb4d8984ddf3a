"""Curves of one class against the rest: ROC, precision and recall, calibration, and counts per threshold.

Definitions are those of scikit-learn (`roc_curve`, `roc_auc_score`, `precision_recall_curve`,
`average_precision_score`, `calibration_curve`); the tests compare the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Points of a stored curve; areas are computed from all points before.
CURVE_POINTS = 200
CALIBRATION_BINS = 10
#: Thresholds 0, 0.01, … 1 of the table behind a threshold slider.
THRESHOLDS = np.round(np.linspace(0.0, 1.0, 101), 2)


@dataclass(frozen=True)
class Cumulated:
    """True and false positives when everything that scores at least `thresholds[i]` counts as positive.

    Attributes:
        thresholds: distinct scores, descending, shape [m].
        true_positives, false_positives: summed weights at each of them, shape [m].
    """

    thresholds: Floats
    true_positives: Floats
    false_positives: Floats

    @classmethod
    def of(cls, positive: Bools, scores: Floats, weights: Floats | None = None) -> Cumulated:
        """Sorts once: O(n log n)."""
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        ends = np.append(np.nonzero(np.diff(ordered))[0], len(ordered) - 1) if len(ordered) else np.empty(0, np.int64)
        weight = np.ones(len(scores)) if weights is None else weights[order]
        truth = positive[order]
        return cls(ordered[ends], np.cumsum(weight * truth)[ends], np.cumsum(weight * ~truth)[ends])

    @property
    def positives(self) -> float:
        return float(self.true_positives[-1]) if len(self.thresholds) else 0.0

    @property
    def negatives(self) -> float:
        return float(self.false_positives[-1]) if len(self.thresholds) else 0.0


def roc(counts: Cumulated) -> dict[str, Any] | None:
    """False and true positive rates with the area under them; None unless both kinds of rows are there."""
    if not counts.positives or not counts.negatives:
        return None
    true_rate = np.concatenate([[0.0], counts.true_positives / counts.positives])
    false_rate = np.concatenate([[0.0], counts.false_positives / counts.negatives])
    area = float(np.trapezoid(true_rate, false_rate))
    kept = _thinned(false_rate, true_rate)
    return {
        "auc": area,
        "false_positive_rate": false_rate[kept].tolist(),
        "true_positive_rate": true_rate[kept].tolist(),
    }


def precision_recall(counts: Cumulated) -> dict[str, Any] | None:
    """Precision per recall with the average precision, the sum of (R_n - R_n-1) P_n; None without positive rows."""
    if not counts.positives:
        return None
    precision = counts.true_positives / (counts.true_positives + counts.false_positives)
    recall = counts.true_positives / counts.positives
    average = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    precision, recall = np.concatenate([[1.0], precision]), np.concatenate([[0.0], recall])
    kept = _thinned(recall, precision)
    return {"average_precision": average, "recall": recall[kept].tolist(), "precision": precision[kept].tolist()}


def calibration(positive: Bools, scores: Floats, weights: Floats | None = None) -> dict[str, Any]:
    """Mean score and share of positives in ten equal ranges of the score, and the expected calibration error (ECE):
    the mean over rows of the distance between both in the row's range. Empty ranges are left out."""
    weight = np.ones(len(scores)) if weights is None else weights
    # scikit-learn's edges: a score of exactly i/10 belongs to the range below it.
    edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
    places = np.searchsorted(edges[1:-1], scores)
    total = np.bincount(places, weight, CALIBRATION_BINS)
    score = np.bincount(places, weight * scores, CALIBRATION_BINS)
    truth = np.bincount(places, weight * positive, CALIBRATION_BINS)
    filled = total > 0
    mean, share = score[filled] / total[filled], truth[filled] / total[filled]
    error = float(np.sum(total[filled] * np.abs(mean - share)) / total.sum()) if filled.any() else 0.0
    rows = np.bincount(places, minlength=CALIBRATION_BINS)[filled]
    return {
        "expected_calibration_error": error,
        "mean_score": mean.tolist(),
        "share_positive": share.tolist(),
        "rows": rows.tolist(),
    }


def threshold_counts(counts: Cumulated) -> dict[str, list[float]]:
    """True and false positives, false and true negatives for each of 101 thresholds; a row is positive whose score
    reaches the threshold."""
    # thresholds descend: how many distinct scores reach each of the table's
    reached = np.searchsorted(-counts.thresholds, -THRESHOLDS, side="right")
    true_positives = np.concatenate([[0.0], counts.true_positives])[reached]
    false_positives = np.concatenate([[0.0], counts.false_positives])[reached]
    return {
        "threshold": THRESHOLDS.tolist(),
        "true_positives": true_positives.tolist(),
        "false_positives": false_positives.tolist(),
        "false_negatives": (counts.positives - true_positives).tolist(),
        "true_negatives": (counts.negatives - false_positives).tolist(),
    }


def _thinned(x: Floats, y: Floats) -> NDArray[np.int64]:
    """Indices of at most `CURVE_POINTS` points, evenly spaced along the curve, its ends among them."""
    if len(x) <= CURVE_POINTS:
        return np.arange(len(x))
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.searchsorted(length, np.linspace(0.0, length[-1], CURVE_POINTS))
    return np.unique(np.concatenate([[0], kept, [len(x) - 1]]))
