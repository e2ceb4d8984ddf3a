"""Wrong arguments that belong to no other theme."""

from __future__ import annotations

import tensorflow as tf

from .models import X, make, once, rows
from .registry import add

THEME = "errors"

fc = tf.feature_column
CALLS = {
    "steps and max_steps": lambda est, d: make(est, d).train(rows(), steps=1, max_steps=1),
    "evaluate without input": lambda est, d: make(est, d).evaluate(None),
    "predict without input": lambda est, d: list(make(est, d).predict(None)),
    "features of another model": lambda est, d: list(make(est, d).predict(once({"y": X}))),
    "predict before training": lambda est, d: len(list(make(est, d).predict(once({"x": X})))),
    "column of two": lambda est, d: fc.numeric_column("a", shape=(0,)),
    "regression head of no width": lambda est, d: est.RegressionHead(label_dimension=0),
    "regression head of a wrong loss": lambda est, d: est.RegressionHead(loss_fn=lambda a, b, c: a),
    "regression head of a wrong reduction": lambda est, d: est.RegressionHead(loss_reduction="other"),
    "class head of one class": lambda est, d: est.MultiClassHead(1),
    "class head of a wrong vocabulary": lambda est, d: est.MultiClassHead(3, label_vocabulary="abc"),
    "class head of no classes": lambda est, d: est.MultiClassHead(None),
    "binary head of a wrong vocabulary": lambda est, d: est.BinaryClassHead(label_vocabulary=["a", "b", "c"]),
    "many head of wrong classes": lambda est, d: est.MultiLabelHead(3, classes_for_class_based_metrics=[5]),
    "classifier of no vocabulary": lambda est, d: est.LinearClassifier([fc.numeric_column("x")], n_classes=0),
    "final exporter without name": lambda est, d: est.EvalSpec(rows(), exporters=est.FinalExporter("", lambda: None)),
    "best exporter without comparison": lambda est, d: est.BestExporter("a", lambda: None, compare_fn=None),
    "latest exporter of none": lambda est, d: est.LatestExporter("a", lambda: None, exports_to_keep=-1),
    "head of another kind": lambda est, d: est.LinearEstimator(
        head=5, feature_columns=[fc.numeric_column("x")]).train(once({"x": X}, X), steps=1),
    "DNN without columns": lambda est, d: est.DNNRegressor([2], []).train(once({"x": X}, X), steps=1),
    "hidden units of zero": lambda est, d: est.DNNRegressor(
        [0], [fc.numeric_column("x")]).train(once({"x": X}, X), steps=1),
    "dropout above one": lambda est, d: est.DNNRegressor(
        [2], [fc.numeric_column("x")], dropout=1.5).train(once({"x": X}, X), steps=1),
    "weight column of another kind": lambda est, d: est.LinearRegressor(
        [fc.numeric_column("x")], weight_column=5).train(once({"x": X}, X), steps=1),
    "weight column that is not there": lambda est, d: est.LinearRegressor(
        [fc.numeric_column("x")], weight_column="w").train(once({"x": X}, X), steps=1),
}  # fmt: skip
for _name, _call in CALLS.items():
    add(THEME, _name, _call)
