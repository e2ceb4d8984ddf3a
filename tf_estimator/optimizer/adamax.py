"""Adamax, Adam with the infinity norm (Kingma, Ba 2014, section 7)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .adam import beta_power
from .base import GraphOptimizer, Number, Rate, Step


class Adamax(GraphOptimizer):
    """`m = β₁m + (1-β₁)g; v = max(β₂v, |g|); w -= rate / (1-β₁ᵗ) * m / (v + epsilon)`. Slots: `m`, `v`.

    Only the rows that have a gradient change.
    """

    default_name = "Adamax"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-7,
        **common: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1=beta_1, beta_2=beta_2, **common)
        self.epsilon = float(epsilon)

    def apply_dense(self, step: Step, variable: Any, gradient: Any) -> Any:
        return tf.raw_ops.ResourceApplyAdaMax(
            var=variable.handle,
            m=step.slot(variable, "m").handle,
            v=step.slot(variable, "v").handle,
            beta1_power=beta_power(step, "beta_1"),
            lr=step.rate,
            beta1=step.hyper("beta_1"),
            beta2=step.hyper("beta_2"),
            epsilon=self.epsilon,
            grad=gradient,
        )

    def apply_sparse(self, step: Step, variable: Any, gradient: Any, indices: Any) -> Any:
        m, v = step.slot(variable, "m"), step.slot(variable, "v")
        beta_1 = step.hyper("beta_1")
        new_m = beta_1 * tf.gather(m, indices) + (1.0 - beta_1) * gradient
        new_v = tf.maximum(step.hyper("beta_2") * tf.gather(v, indices), tf.abs(gradient))
        rate = step.rate / (1.0 - beta_power(step, "beta_1"))
        change = -rate * new_m / (new_v + self.epsilon)
        return tf.group(
            tf.raw_ops.ResourceScatterUpdate(resource=m.handle, indices=indices, updates=new_m),
            tf.raw_ops.ResourceScatterUpdate(resource=v.handle, indices=indices, updates=new_v),
            tf.raw_ops.ResourceScatterAdd(resource=variable.handle, indices=indices, updates=change),
        )
