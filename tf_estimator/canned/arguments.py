"""Checks of the canned estimators' arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def checked_hidden_units(hidden_units: Iterable[int], name: str) -> list[int]:
    """Widths of layers as a list; there may be none.

    Raises:
        ValueError: not an iterable of integers, or one below 1.
    """
    if isinstance(hidden_units, (str, bytes, int)) or not isinstance(hidden_units, Iterable):
        raise ValueError(f"{name} must be a list of integers such as [64, 32], not {hidden_units!r}.")
    widths = list(hidden_units)
    for width in widths:
        if isinstance(width, bool) or (not isinstance(width, int) and not hasattr(width, "__index__")) or width < 1:
            raise ValueError(f"{name} must hold integers of 1 or more, not {width!r}.")
    return [int(width) for width in widths]


def checked_dropout(dropout: float | None, name: str) -> None:
    """Raises ValueError unless dropout is None or in [0, 1)."""
    if dropout is not None and not 0.0 <= dropout < 1.0:
        raise ValueError(f"{name} is the probability of dropping a value and must be in [0, 1), not {dropout}.")


def checked_features(features: Any) -> Mapping[str, Any]:
    """The features, if they are a dict.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(features, Mapping):
        raise ValueError(
            f"features should be a dictionary of `Tensor`s. Given type: {type(features)}. "
            "Let input_fn return a dict of feature name to tensor."
        )
    return features
