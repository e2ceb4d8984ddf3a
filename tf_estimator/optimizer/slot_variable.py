"""Variables with a name of their own choosing, whatever scope the caller is in."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def root_variable(
    name: str, shape: Any = (), dtype: Any = tf.float32, initial: Any = 0.0, collections: Any = None
) -> tf.Variable:
    """A variable called exactly `name`, made or (the second time in one graph) found again; not trainable.

    Args:
        initial: a number that fills the variable, or a tensor of its shape.
        collections: graph collections to join; global variables when None, so that checkpoints hold it.
    """
    root = tf.compat.v1.VariableScope(reuse=tf.compat.v1.AUTO_REUSE)
    with tf.compat.v1.variable_scope(root, auxiliary_name_scope=False):
        return tf.compat.v1.get_variable(
            name,
            shape=shape,
            dtype=dtype,
            initializer=tf.compat.v1.constant_initializer(initial) if isinstance(initial, (int, float)) else initial,
            trainable=False,
            collections=collections,
            use_resource=True,
            # Replicas change their own copy with the same, already reduced gradients.
            synchronization=tf.VariableSynchronization.AUTO,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )


def bare_name(variable: Any) -> str:
    """The variable's name without the output index: `dnn/logits/kernel`."""
    return str(variable.name).partition(":")[0]
