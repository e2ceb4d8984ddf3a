"""Products of tensors that are transposes, made of the matrices themselves."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tf_estimator.graph.turned_products import turn_products


def test_turned_products_give_the_same_numbers_under_the_same_names() -> None:
    random = np.random.default_rng(0)
    x, w = (tf.constant(random.normal(size=size).astype(np.float32)) for size in ((7, 150), (150, 3)))
    with tf.Graph().as_default() as graph:
        given, weights = (tf.raw_ops.Placeholder(dtype=tf.float32, shape=t.shape) for t in (x, w))
        with tf.control_dependencies([tf.raw_ops.NoOp(name="before")]):
            made = [tf.matmul(given, weights)]
        made.append(tf.matmul(given, tf.transpose(weights), transpose_b=True))
        others = [
            tf.matmul(given, given, transpose_a=True),
            tf.matmul(weights, given, transpose_a=True, transpose_b=True),
        ]
    definition = graph.as_graph_def()
    before = {node.name: node.SerializeToString() for node in definition.node}
    turn_products(definition, {given.name})
    nodes = {node.name: node for node in definition.node}
    assert [nodes[t.op.name].op for t in made] == ["Transpose", "Transpose"]
    assert all(nodes[t.op.name].SerializeToString() == before[t.op.name] for t in others)
    assert nodes[f"{made[0].op.name}/turned"].input[2] == "^before"

    def run(a: tf.Tensor, b: tf.Tensor) -> list[tf.Tensor]:
        wanted = [t.name for t in made]
        return tf.import_graph_def(definition, {given.name: a, weights.name: b}, wanted, name="")

    for found in tf.function(run, autograph=False)(x, w):
        np.testing.assert_allclose(found, x.numpy() @ w.numpy(), rtol=1e-5, atol=1e-5)
