"""Inputs: what an `input_fn` may return, as sources of batches, and batches straight from columns
(`columns_input_fn`).

May import of the engine's folders: `distribution`, `graph`. Start with `source.py`.
"""

from .column_types import Dictionary, Sequence
from .columns_input import columns_input_fn
from .numpy_pandas import numpy_input_fn, pandas_input_fn

__all__ = ["Dictionary", "Sequence", "columns_input_fn", "numpy_input_fn", "pandas_input_fn"]
