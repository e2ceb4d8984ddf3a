"""The head of a classifier by its number of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .base import Head
from .binary_class import BinaryClassHead
from .multi_class import MultiClassHead


def classifier_head(
    n_classes: int,
    weight_column: Any,
    label_vocabulary: Sequence[str] | None,
    loss_reduction: str,
    binary: type[BinaryClassHead] = BinaryClassHead,
) -> Head:
    """A `binary` head for two classes, `MultiClassHead` for more.

    Raises:
        ValueError: fewer than two classes.
    """
    if n_classes is None or n_classes < 2:
        raise ValueError(f"n_classes must be > 1: {n_classes}. A classifier needs at least two classes.")
    if n_classes == 2:
        return binary(weight_column=weight_column, label_vocabulary=label_vocabulary, loss_reduction=loss_reduction)
    return MultiClassHead(
        n_classes, weight_column=weight_column, label_vocabulary=label_vocabulary, loss_reduction=loss_reduction
    )
