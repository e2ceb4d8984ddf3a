"""Inputs: batches straight from columns, and what an `input_fn` may return."""

from workers.estimator.inputs.arrays import numpy_input_fn, pandas_input_fn
from workers.estimator.inputs.column import Dictionary, Sequence
from workers.estimator.inputs.columns import columns_input_fn

__all__ = ["Dictionary", "Sequence", "columns_input_fn", "numpy_input_fn", "pandas_input_fn"]
