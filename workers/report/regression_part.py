"""The part of a report about a regression: errors, their distribution, and predicted against true values.

Definitions are scikit-learn's (`mean_absolute_error`, `mean_squared_error`, `r2_score`, `median_absolute_error`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
RESIDUAL_BINS = 40
GRID = 24


@dataclass(frozen=True)
class Measured:
    """Rows with their value and the one that a model gave.

    Attributes:
        labels, predictions: float64 [n], in the label's unit.
        weights: float64 [n], or None for 1 each.
    """

    labels: NDArray[np.float64]
    predictions: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None

    @property
    def residuals(self) -> NDArray[np.float64]:
        """Prediction minus label, [n]."""
        return self.predictions - self.labels

    def losses(self) -> NDArray[np.float64]:
        """Absolute error of each row, [n]."""
        return np.abs(self.residuals)


def describe(data: Measured) -> dict[str, Any]:
    """The regression part of a report, as JSON values. Residuals are prediction minus label."""
    weights = np.ones(len(data.labels)) if data.weights is None else data.weights
    residuals = data.residuals
    total = weights.sum()
    squared = float(np.sum(weights * residuals**2) / total)
    mean = float(np.sum(weights * data.labels) / total)
    spread = float(np.sum(weights * (data.labels - mean) ** 2) / total)
    return {
        "kind": "regression",
        "metrics": {
            "mean_absolute_error": float(np.sum(weights * np.abs(residuals)) / total),
            "root_mean_squared_error": squared**0.5,
            "median_absolute_error": float(np.median(np.abs(residuals))),
            "bias": float(np.sum(weights * residuals) / total),
            "r2": 1.0 - squared / spread if spread else None,
        },
        "residuals": {
            "quantiles": [{"quantile": q, "value": float(np.quantile(residuals, q))} for q in QUANTILES],
            "histogram": _histogram(residuals),
        },
        "predicted_against_true": _grid(data),
    }


def _histogram(values: NDArray[np.float64]) -> dict[str, list[float]]:
    """Rows per range between the 0.5 % and 99.5 % quantiles; rows outside count in the outermost ranges."""
    low, high = _range(values)
    rows, edges = np.histogram(np.clip(values, low, high), RESIDUAL_BINS, (low, high))
    return {"edges": edges.tolist(), "rows": rows.tolist()}


def _grid(data: Measured) -> dict[str, Any]:
    """Rows per cell of true value (first index) and prediction, over the range that both share."""
    low, high = _range(np.concatenate([data.labels, data.predictions]))
    rows, edges, _ = np.histogram2d(
        np.clip(data.labels, low, high), np.clip(data.predictions, low, high), GRID, ((low, high), (low, high))
    )
    return {"edges": edges.tolist(), "rows": rows.astype(int).tolist()}


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 99 % of the values, or a wider range around values that are all but equal."""
    low, high = (float(value) for value in np.quantile(values, [0.005, 0.995]))
    size = max(abs(low), abs(high))
    if high - low <= 1e-6 * size or size == 0.0:
        half = 0.5 * (size or 1.0)
        return low - half, high + half
    return low, high
