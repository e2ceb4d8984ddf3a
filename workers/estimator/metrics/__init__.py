"""Streaming metrics for graphs, with the numbers of the old library."""

from workers.estimator.metrics.auc import AUC
from workers.estimator.metrics.base import Metric
from workers.estimator.metrics.mean import Accuracy, AccuracyBaseline, BinaryAccuracy, Mean
from workers.estimator.metrics.precision_recall import Precision, Recall

__all__ = ["AUC", "Accuracy", "AccuracyBaseline", "BinaryAccuracy", "Mean", "Metric", "Precision", "Recall"]
