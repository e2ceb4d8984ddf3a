"""Partitioners of v1's canned estimators."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_INPUT_SLICE_BYTES = 64 << 20


def min_max_partitioner(config: Any, min_slice_size: int = 256 << 10) -> Any:
    """One slice per parameter server at most, of `min_slice_size` bytes at least; one slice without such servers."""
    servers = max(getattr(config, "num_ps_replicas", 0) or 0, 1)
    return tf.compat.v1.min_max_variable_partitioner(max_partitions=servers, min_slice_size=min_slice_size)


def input_partitioner(given: Any, config: Any) -> Any:
    """The partitioner of an input layer: the given one, or one with slices of at least 64 MiB."""
    return given or min_max_partitioner(config, _INPUT_SLICE_BYTES)
