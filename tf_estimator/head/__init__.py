"""Heads: loss, metrics, predictions and export outputs over a network's logits.

May import of the engine's folders: `distribution`, `metrics`, `optimizer`. Start with `base.py`.
"""

from .base import Head
from .binary_class import BinaryClassHead
from .multi_class import MultiClassHead
from .multi_head import MultiHead
from .multi_label import MultiLabelHead
from .regression import LogisticRegressionHead, PoissonRegressionHead, RegressionHead
from .sequential import SequentialHeadWrapper

__all__ = [
    "BinaryClassHead",
    "Head",
    "LogisticRegressionHead",
    "MultiClassHead",
    "MultiHead",
    "MultiLabelHead",
    "PoissonRegressionHead",
    "RegressionHead",
    "SequentialHeadWrapper",
]
