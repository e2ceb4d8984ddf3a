"""Streaming metrics for graphs, with the numbers of the old library.

May import of the engine's folders: `optimizer`. Start with `base.py`.
"""

from .auc import AUC
from .base import Metric
from .mean import Accuracy, AccuracyBaseline, BinaryAccuracy, Mean
from .precision_recall import Precision, Recall

__all__ = ["AUC", "Accuracy", "AccuracyBaseline", "BinaryAccuracy", "Mean", "Metric", "Precision", "Recall"]
