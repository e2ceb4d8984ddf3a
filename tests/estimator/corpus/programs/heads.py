"""Heads: losses, predictions and metrics of given logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from .models import OLD, make, once, sgd, v1, variables
from .registry import add, program

THEME = "heads"

ONE = np.float32([[0.5], [-1.0], [2.0], [0.0]])
TRIPLE = np.float32([[1, 0, -1], [0.5, 0.5, 2], [0, 3, 1], [1, 1, 1]])
BINARY = np.int64([[1], [0], [0], [1]])
CLASS = np.int64([[0], [2], [1], [0]])
MANY = np.int64([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0]])
REAL = np.float32([[1.0], [0.0], [2.5], [-1.0]])
COUNT = np.float32([[1], [0], [3], [2]])
WEIGHTS = np.float32([[1], [2], [0], [0.5]])


def _squared(labels: Any, logits: Any) -> Any:
    return (logits - labels) ** 4


def _absolute(labels: Any, logits: Any, features: Any) -> Any:
    return tf.reduce_sum(tf.abs(logits - labels), axis=-1, keepdims=True)


HEADS = {
    "regression": (lambda e: e.RegressionHead(), ONE, REAL),
    "regression weighted": (lambda e: e.RegressionHead("w"), ONE, REAL),
    "regression sum": (lambda e: e.RegressionHead(loss_reduction=_reduction("SUM")), ONE, REAL),
    "regression of three": (lambda e: e.RegressionHead(label_dimension=3), TRIPLE, TRIPLE + 1),
    "regression of another loss": (lambda e: e.RegressionHead(loss_fn=_squared), ONE, REAL),
    "regression of a loss with features": (lambda e: e.RegressionHead(loss_fn=_absolute), ONE, REAL),
    "regression with a link": (lambda e: e.RegressionHead(inverse_link_fn=tf.exp), ONE, REAL),
    "regression of a wrong width": (lambda e: e.RegressionHead(label_dimension=3), TRIPLE, REAL),
    "regression of wrong logits": (lambda e: e.RegressionHead(label_dimension=2), TRIPLE, REAL),
    "regression of labels in a row": (lambda e: e.RegressionHead(), ONE, REAL[:, 0]),
    "regression of text": (lambda e: e.RegressionHead(), ONE, np.array([["a"]] * 4)),
    "regression named": (lambda e: e.RegressionHead(name="mine"), ONE, REAL),
    "poisson": (lambda e: e.PoissonRegressionHead(), ONE, COUNT),
    "poisson without the constant": (lambda e: e.PoissonRegressionHead(compute_full_loss=False), ONE, COUNT),
    "logistic regression": (lambda e: e.LogisticRegressionHead(), ONE, np.float32([[1], [0], [0.5], [0]])),
    "binary": (lambda e: e.BinaryClassHead(), ONE, BINARY),
    "binary weighted": (lambda e: e.BinaryClassHead("w"), ONE, BINARY),
    "binary thresholds": (lambda e: e.BinaryClassHead(thresholds=[0.3, 0.6]), ONE, BINARY),
    "binary of a wrong threshold": (lambda e: e.BinaryClassHead(thresholds=[1.5]), ONE, BINARY),
    "binary vocabulary": (lambda e: e.BinaryClassHead(label_vocabulary=["n", "y"]), ONE, np.array(["n", "y"])[BINARY]),
    "binary vocabulary of numbers": (lambda e: e.BinaryClassHead(label_vocabulary=["n", "y"]), ONE, BINARY),
    "binary out of range": (lambda e: e.BinaryClassHead(), ONE, BINARY + 1),
    "binary of wrong logits": (lambda e: e.BinaryClassHead(), TRIPLE, BINARY),
    "binary of another loss": (lambda e: e.BinaryClassHead(loss_fn=_squared), ONE, BINARY),
    "classes": (lambda e: e.MultiClassHead(3), TRIPLE, CLASS),
    "classes weighted": (lambda e: e.MultiClassHead(3, "w"), TRIPLE, CLASS),
    "classes sum": (lambda e: e.MultiClassHead(3, loss_reduction=_reduction("SUM")), TRIPLE, CLASS),
    "classes vocabulary": (lambda e: e.MultiClassHead(3, label_vocabulary=["a", "b", "c"]), TRIPLE,
                           np.array(["a", "b", "c"])[CLASS]),
    "classes vocabulary of a wrong length": (lambda e: e.MultiClassHead(3, label_vocabulary=["a"]), TRIPLE, CLASS),
    "classes of two": (lambda e: e.MultiClassHead(2), TRIPLE[:, :2], BINARY),
    "classes out of range": (lambda e: e.MultiClassHead(3), TRIPLE, CLASS + 1),
    "classes negative": (lambda e: e.MultiClassHead(3), TRIPLE, CLASS - 1),
    "classes of floats": (lambda e: e.MultiClassHead(3), TRIPLE, CLASS.astype(np.float32)),
    "classes by a tensor": (lambda e: e.MultiClassHead(tf.constant(3)), TRIPLE, CLASS),
    "many": (lambda e: e.MultiLabelHead(3), TRIPLE, MANY),
    "many weighted": (lambda e: e.MultiLabelHead(3, "w"), TRIPLE, MANY),
    "many thresholds": (lambda e: e.MultiLabelHead(3, thresholds=[0.5, 0.7]), TRIPLE, MANY),
    "many by class": (lambda e: e.MultiLabelHead(3, classes_for_class_based_metrics=[0, 2]), TRIPLE, MANY),
    "many vocabulary by class": (
        lambda e: e.MultiLabelHead(3, label_vocabulary=["a", "b", "c"], classes_for_class_based_metrics=["a", "c"]),
        TRIPLE, tf.sparse.SparseTensor([[0, 0], [0, 1], [1, 0]], ["a", "c", "b"], [4, 2])),
    "many of two": (lambda e: e.MultiLabelHead(1), TRIPLE, MANY),
    "many of a wrong width": (lambda e: e.MultiLabelHead(3), TRIPLE, MANY[:, :2]),
    "many out of range": (lambda e: e.MultiLabelHead(3), TRIPLE, MANY + 1),
}  # fmt: skip


def _reduction(name: str) -> Any:
    return getattr(tf.keras.losses.Reduction, name) if OLD else name.lower()


def _labels(labels: Any) -> Any:
    return labels if isinstance(labels, tf.sparse.SparseTensor) else tf.constant(labels)


def _eager(est: Any, head_of: Any, logits: Any, labels: Any) -> Any:
    """Loss, predictions and metrics in a session, shapes known."""
    with tf.Graph().as_default(), v1.Session() as session:
        if isinstance(labels, tf.sparse.SparseTensor):
            values = [labels.indices.numpy(), labels.values.numpy(), labels.dense_shape.numpy()]
            labels = tf.sparse.SparseTensor(*values)
        else:
            labels = tf.constant(labels)
        head = head_of(est)
        features = {"w": tf.constant(WEIGHTS)}
        made = {"loss": head.loss(labels, tf.constant(logits), features=features, mode="eval")}
        made["predictions"] = head.predictions(tf.constant(logits))
        metrics = head.metrics()
        spec = head.create_estimator_spec(features, "eval", tf.constant(logits), labels=labels)
        updates = [m[1] if isinstance(m, tuple) else list(m.updates) for m in spec.eval_metric_ops.values()]
        results = {n: m[0] if isinstance(m, tuple) else m.result() for n, m in spec.eval_metric_ops.items()}
        initialize = [v1.global_variables_initializer(), v1.local_variables_initializer(), v1.tables_initializer()]
        session.run(initialize)
        session.run([v.initializer for m in spec.eval_metric_ops.values() for v in getattr(m, "variables", [])])
        values = session.run(made)
        session.run(updates)
        return {**values, "metrics": session.run(results), "names": sorted(metrics), "logits": head.logits_dimension}


def _estimator(est: Any, directory: str, head_of: Any, logits: Any, labels: Any) -> Any:
    """A model whose logits are the features times a variable, trained by the head; its evaluation and predictions."""
    config = {}

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        head = head_of(est)
        scale = v1.get_variable("scale", [], initializer=v1.ones_initializer())
        return head.create_estimator_spec(
            features, mode, features["x"] * scale, labels=labels,
            train_op_fn=lambda loss: v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_global_step()),
        )  # fmt: skip

    if isinstance(labels, tf.sparse.SparseTensor):
        labels = tf.sparse.from_dense(np.array([["a", "c"], ["b", ""], ["", ""], ["", ""]]))
        both = lambda: tf.data.Dataset.from_tensors(({"x": logits, "w": WEIGHTS}, labels))
    else:
        both = once({"x": logits, "w": WEIGHTS}, labels)
    estimator = make(est, directory, model_fn, config).train(both)
    predicted = list(estimator.predict(once({"x": logits, "w": WEIGHTS})))
    return variables(estimator), estimator.evaluate(both), predicted


for _name, (_head, _logits, _given) in HEADS.items():
    add(THEME, _name, lambda est, d, h=_head, x=_logits, y=_given: _estimator(est, d, h, x, y))

UNKNOWN = {
    "regression of a wrong width": (lambda e: e.RegressionHead(3), TRIPLE, REAL),
    "regression of labels in a row": (lambda e: e.RegressionHead(), ONE, REAL[:, 0]),
    "regression of fewer labels": (lambda e: e.RegressionHead(), ONE, REAL[:2]),
    "regression fits": (lambda e: e.RegressionHead(), ONE, REAL),
    "regression of wrong logits": (lambda e: e.RegressionHead(2), TRIPLE, TRIPLE),
    "binary of labels in a row": (lambda e: e.BinaryClassHead(), ONE, BINARY[:, 0]),
    "binary fits": (lambda e: e.BinaryClassHead(), ONE, BINARY),
    "binary of wrong logits": (lambda e: e.BinaryClassHead(), TRIPLE[:, :2], BINARY),
    "binary out of range": (lambda e: e.BinaryClassHead(), ONE, BINARY + 1),
    "classes of wrong logits": (lambda e: e.MultiClassHead(4), TRIPLE, CLASS),
    "classes fit": (lambda e: e.MultiClassHead(3), TRIPLE, CLASS),
    "classes of labels in a row": (lambda e: e.MultiClassHead(3), TRIPLE, CLASS[:, 0]),
    "many of a wrong width": (lambda e: e.MultiLabelHead(3), TRIPLE, MANY[:, :2]),
    "many fit": (lambda e: e.MultiLabelHead(3), TRIPLE, MANY),
    "poisson of labels in a row": (lambda e: e.PoissonRegressionHead(), ONE, COUNT[:, 0]),
    "weights of a wrong length": (lambda e: e.RegressionHead("w"), ONE[:2], REAL[:2]),
    "weights of a wrong width": (lambda e: e.RegressionHead("wide"), ONE, REAL),
    "weights fit": (lambda e: e.RegressionHead("w"), ONE, REAL),
}


def _unknown(static_rank: bool) -> Any:
    def outer(head_of: Any, logits: Any, labels: Any) -> Any:
        def run(est: Any, directory: str) -> Any:
            with tf.Graph().as_default(), v1.Session() as session:
                known = [None, logits.shape[1]] if static_rank else None
                x, y = v1.placeholder(tf.float32, known), v1.placeholder(tf.as_dtype(labels.dtype))
                w = v1.placeholder(tf.float32)
                wide = v1.placeholder(tf.float32)
                loss = head_of(est).loss(y, x, features={"w": w, "wide": wide}, mode="eval")
                session.run([v1.global_variables_initializer(), v1.local_variables_initializer()])
                fed = {x: logits, y: labels, w: WEIGHTS, wide: np.ones([4, 3], np.float32)}
                return session.run(loss, fed)

        return run

    return outer


for _name, (_head, _logits, _given) in UNKNOWN.items():
    add(THEME, f"shape known late {_name}", _unknown(True)(_head, _logits, _given))
    add(THEME, f"rank known late {_name}", _unknown(False)(_head, _logits, _given))


def _multi(est: Any, **more: Any) -> Any:
    return est.MultiHead([est.RegressionHead(name="a"), est.BinaryClassHead(name="b")], **more)


def _multi_model(est: Any, head_of: Any, as_dict: bool = False) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        scale = v1.get_variable("scale", [], initializer=v1.ones_initializer())
        logits: Any = features["x"] * scale
        if as_dict:
            logits = {"a": logits[:, :1], "b": logits[:, 1:]}
        return head_of(est).create_estimator_spec(
            features, mode, logits, labels=labels,
            train_op_fn=lambda loss: v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_global_step()),
        )  # fmt: skip

    return model_fn


MULTI = {
    "multi": (_multi, False),
    "multi weighted": (lambda e: _multi(e, head_weights=[1.0, 0.5]), False),
    "multi by name": (_multi, True),
    "multi of wrong weights": (lambda e: _multi(e, head_weights=[1.0]), False),
    "multi without heads": (lambda e: e.MultiHead([]), False),
    "multi without names": (lambda e: e.MultiHead([e.RegressionHead(), e.BinaryClassHead()]), False),
}
for _name, (_head, _dict) in MULTI.items():

    def _run_multi(est: Any, directory: str, head_of: Any = _head, as_dict: bool = _dict) -> Any:
        data = ({"x": TRIPLE[:, :2]}, {"a": REAL, "b": BINARY})
        estimator = make(est, directory, _multi_model(est, head_of, as_dict)).train(once(*data))
        predicted = list(estimator.predict(once(data[0])))
        return variables(estimator), estimator.evaluate(once(*data)), {"/".join(k): v for k, v in predicted[0].items()}

    add(THEME, _name, _run_multi)


@program(THEME)
def multi_summaries(est: Any, directory: str) -> Any:
    import glob

    data = ({"x": TRIPLE[:, :2]}, {"a": REAL, "b": BINARY})
    make(est, directory, _multi_model(est, _multi), {"save_summary_steps": 1}).train(once(*data))
    files = glob.glob(directory + "/events*")
    return sorted({v.tag for f in files for e in v1.train.summary_iterator(f) for v in e.summary.value})


def _private_optimizer(est: Any, directory: str) -> Any:
    base = tf.keras.optimizers.legacy if OLD else tf.keras.optimizers

    class _Mine(base.SGD):  # type: ignore[misc, name-defined]
        pass

    made = est.LinearRegressor(
        [tf.feature_column.numeric_column("x")], model_dir=directory, optimizer=lambda: _Mine(0.1),
        config=est.RunConfig(tf_random_seed=1, save_summary_steps=None),
    )  # fmt: skip
    made.train(once({"x": REAL}, REAL))
    return {n: v for n, v in variables(made).items() if not n.startswith("training")}


add(THEME, "optimizer of a private class", _private_optimizer)


@program(THEME)
def trainable_variables(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        a = v1.get_variable("a", [], initializer=v1.ones_initializer())
        b = v1.get_variable("b", [], initializer=v1.ones_initializer())
        optimizer = sgd(0.1)
        if mode == "train" and OLD:
            optimizer.iterations = v1.train.get_global_step()
        return est.RegressionHead().create_estimator_spec(
            features, mode, features["x"] * a + b, labels=labels, optimizer=optimizer, trainable_variables=[b]
        )

    made = make(est, directory, model_fn).train(once({"x": ONE}, REAL))
    return made.get_variable_value("a"), made.get_variable_value("b")


@program(THEME)
def no_variables(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        return est.RegressionHead().create_estimator_spec(
            features, mode, features["x"], labels=labels, optimizer=sgd(0.1), trainable_variables=[]
        )

    return make(est, directory, model_fn).train(once({"x": ONE}, REAL))


for _name, _arguments in {
    "neither optimizer nor train_op_fn": {},
    "an optimizer that is none": {"optimizer": 5, "trainable_variables": []},
    "an update": {"update_ops": "here"},
    "a penalty": {"regularization_losses": "here"},
}.items():

    def _spec(est: Any, directory: str, arguments: Any = _arguments) -> Any:
        def model_fn(features: Any, labels: Any, mode: str) -> Any:
            a = v1.get_variable("a", [], initializer=v1.ones_initializer())
            seen = v1.get_variable("seen", [], initializer=v1.zeros_initializer(), trainable=False)
            given = dict(arguments)
            if "update_ops" in given:
                given["update_ops"] = [v1.assign_add(seen, 1.0)]
                given["trainable_variables"] = [a]
                given["optimizer"] = sgd(0.1)
                if mode == "train" and OLD:
                    given["optimizer"].iterations = v1.train.get_global_step()
            if "regularization_losses" in given:
                given["regularization_losses"] = [3.0 * a]
                given["train_op_fn"] = lambda loss: v1.train.GradientDescentOptimizer(0.1).minimize(
                    loss, v1.train.get_global_step()
                )
            return est.RegressionHead().create_estimator_spec(features, mode, features["x"] * a, labels=labels, **given)

        made = make(est, directory, model_fn).train(once({"x": ONE}, REAL))
        return made.get_variable_value("a"), made.get_variable_value("seen"), made.evaluate(once({"x": ONE}, REAL))

    add(THEME, f"specification with {_name}", _spec)
