"""Heads: loss, metrics, predictions and export outputs over a network's logits."""

from workers.estimator.head.base import Head
from workers.estimator.head.binary_class import BinaryClassHead
from workers.estimator.head.multi_class import MultiClassHead
from workers.estimator.head.multi_head import MultiHead
from workers.estimator.head.multi_label import MultiLabelHead
from workers.estimator.head.regression import LogisticRegressionHead, PoissonRegressionHead, RegressionHead
from workers.estimator.head.sequential import SequentialHeadWrapper

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
