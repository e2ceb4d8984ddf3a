"""The programs by name. They also run under TensorFlow 2.15.1, without the engine, so they import nothing of it."""

from __future__ import annotations

from . import (
    canned,
    checkpoints,
    columns,
    early,
    errors,
    exporters,
    habits,
    heads,
    hooks,
    inputs,
    keras,
    metrics,
    model_fns,
    optimizers,
    scaffolds,
    specs,
    together,
    v1_canned,
    warm_starts,
)  # fmt: skip
from .registry import PROGRAMS, outcome

__all__ = ["PROGRAMS", "canned", "checkpoints", "columns", "early", "errors", "exporters", "habits", "heads", "hooks",
           "inputs", "keras", "metrics", "model_fns", "optimizers", "outcome", "scaffolds", "specs", "together",
           "v1_canned", "warm_starts"]  # fmt: skip
