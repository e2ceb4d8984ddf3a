"""Reads evaluations back from TensorBoard event files."""

from __future__ import annotations

import logging
import os
from typing import Any

import tensorflow as tf

_log = logging.getLogger(__name__)


def read(pattern: str) -> dict[int, dict[str, Any]]:
    """Evaluations by global step, in order, from the event files that match the glob `pattern`.

    Each is the dict of scalar summaries of that step, with the step itself as `global_step`. A file that is cut off
    (its writer still writes, or was killed) gives what is whole in it.
    """
    results: dict[int, dict[str, Any]] = {}
    for path in sorted(tf.io.gfile.glob(pattern)):
        try:
            for event in tf.compat.v1.train.summary_iterator(path):
                _add(results, event)
        except (tf.errors.DataLossError, tf.errors.NotFoundError) as error:
            _log.warning("Event file %s ends early: %s", path, error)
    return dict(sorted(results.items()))


def read_directory(eval_dir: str) -> dict[int, dict[str, Any]]:
    """`read` of all event files in `eval_dir`; empty where there is no such directory."""
    return read(os.path.join(eval_dir, "*.tfevents.*"))  # noqa: PTH118


def _add(results: dict[int, dict[str, Any]], event: Any) -> None:
    if not event.HasField("summary"):
        return
    for value in event.summary.value:
        if value.HasField("simple_value"):
            results.setdefault(event.step, {"global_step": event.step})[value.tag] = value.simple_value
        elif value.HasField("tensor") and value.tensor.dtype == tf.float32.as_datatype_enum:
            scalar = tf.make_ndarray(value.tensor)
            if scalar.ndim == 0:
                results.setdefault(event.step, {"global_step": event.step})[value.tag] = float(scalar)
