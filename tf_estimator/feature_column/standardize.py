"""`Standardize`: a normalizer that a layer can see into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf


@dataclass(frozen=True)
class Standardize:
    """`(x - mean) / stddev`, as `normalizer_fn` of a numeric column.

    A layer applies it to many columns in one operation, which it can't with a function that it can't see into.

    Raises:
        ValueError: stddev is 0.
    """

    mean: float
    stddev: float

    def __post_init__(self) -> None:
        if self.stddev == 0:
            raise ValueError("stddev must not be 0; leave the normalizer out for a constant column.")

    def __call__(self, values: Any) -> Any:
        if isinstance(values, tf.SparseTensor):  # what a sequence column gives; absent values stay absent
            return values.with_values(self(values.values))
        return (values - self.mean) / self.stddev
