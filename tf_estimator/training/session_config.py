"""`session_config` of a `RunConfig` without a session: what of it can be applied to TensorFlow itself."""

from __future__ import annotations

import logging
from typing import Any

import tensorflow as tf

log = logging.getLogger("tf_estimator")

_THREADS = {
    "intra_op_parallelism_threads": (
        tf.config.threading.get_intra_op_parallelism_threads,
        tf.config.threading.set_intra_op_parallelism_threads,
    ),
    "inter_op_parallelism_threads": (
        tf.config.threading.get_inter_op_parallelism_threads,
        tf.config.threading.set_inter_op_parallelism_threads,
    ),
}


def apply(config: Any) -> None:
    """Sets the thread counts of a `tf.compat.v1.ConfigProto`; a log line names what can't be applied, and why."""
    if config is None:
        return
    late = []
    for name, (present, change) in _THREADS.items():
        wanted = getattr(config, name)
        if wanted and wanted != present():
            try:
                change(wanted)
            except RuntimeError:
                late.append(name)
    if late:
        log.warning("RunConfig.session_config: TensorFlow has started, so %s can't be changed any more.", late)
    # Whatever device an operation has no kernel for, TensorFlow 2 places it elsewhere by itself.
    rest = [field.name for field, _ in config.ListFields() if field.name not in {*_THREADS, "allow_soft_placement"}]
    if rest:
        log.warning("RunConfig.session_config: %s are not used, for there is no session; use tf.config.", rest)
