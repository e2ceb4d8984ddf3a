"""Model reports, as JSON: one for each head of a model, from the labels and the predictions of the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.report import classification_part, regression_part, slices

VERSION = 1
WORST_ROWS = 20
Part = classification_part.Classified | regression_part.Measured


def describe(
    data: Part,
    columns: Mapping[str, NDArray[Any]],
    row_numbers: NDArray[np.int64],
    *,
    total_rows: int,
) -> dict[str, Any]:
    """A report on one head.

    Args:
        columns: name → the data set's column over the same rows, as `slices.by_column` takes them.
        row_numbers: the place of each row in the data set, from 0, [n].
        total_rows: rows of the evaluation; more than n when the report is about a sample.

    Returns:
        JSON values: `version`, `rows`, `total_rows`, `kind`, `metrics`, the parts of the kind, `slices`, `worst_rows`.
    """
    losses = data.losses()
    if isinstance(data, classification_part.Classified):
        found, averaged, what = classification_part.describe(data), data.correct, "accuracy"
    else:
        found, averaged, what = regression_part.describe(data), losses, "mean_absolute_error"
    return {
        "version": VERSION,
        "rows": len(losses),
        "total_rows": total_rows,
        **found,
        "slices": {"metric": what, "columns": slices.by_column(columns, averaged)},
        "worst_rows": _worst(data, losses, columns, row_numbers),
    }


def describe_labels_of_many(
    labels: NDArray[np.float64], probabilities: NDArray[np.float64], names: list[str], *, total_rows: int
) -> dict[str, Any]:
    """A report on a head with several yes-or-no labels: each label's curves and numbers.

    Args:
        labels: 1.0 where a row has the label, [n, labels].
        probabilities: [n, labels].
    """
    found = []
    for number, name in enumerate(names):
        positive, scores = labels[:, number] > 0, probabilities[:, number]
        found.append({"class": name, **classification_part.binary_curves(positive, scores, None)})
    exact = ((probabilities > 0.5) == (labels > 0)).all(axis=1)
    return {
        "version": VERSION,
        "rows": len(labels),
        "total_rows": total_rows,
        "kind": "multilabel",
        "metrics": {"all_labels_right": float(exact.mean())},
        "curves": found,
    }


def _worst(
    data: Part, losses: NDArray[np.float64], columns: Mapping[str, NDArray[Any]], row_numbers: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """The rows with the highest loss, the worst first; of equal ones the first in the data set."""
    order = np.lexsort((row_numbers, -losses))[:WORST_ROWS]
    found = []
    for place in order.tolist():
        entry: dict[str, Any] = {"row": int(row_numbers[place]), "loss": float(losses[place])}
        if isinstance(data, classification_part.Classified):
            predicted = int(data.predicted[place])
            entry["label"] = data.names[int(data.labels[place])]
            entry["predicted"] = data.names[predicted]
            entry["probability"] = float(data.probabilities[place, predicted])
        else:
            entry["label"], entry["predicted"] = float(data.labels[place]), float(data.predictions[place])
        entry["values"] = {name: _plain(column[place]) for name, column in columns.items()}
        found.append(entry)
    return found


def _plain(value: Any) -> Any:
    """A cell as a JSON value; what is not finite as null."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
