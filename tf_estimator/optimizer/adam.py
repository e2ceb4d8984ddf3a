"""Adam (Kingma, Ba 2014) and AMSGrad (Reddi, Kale, Kumar 2018)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .base import GraphOptimizer, Number, Rate, Step


class Adam(GraphOptimizer):
    """`m = β₁m + (1-β₁)g; v = β₂v + (1-β₂)g²; w -= rate * √(1-β₂ᵗ)/(1-β₁ᵗ) * m / (√v + epsilon)`.

    With `amsgrad` the largest v so far takes the place of v. Slots: `m`, `v`, and `vhat` with `amsgrad`.
    Rows without a gradient are decayed and moved too, as the old library did.
    """

    default_name = "Adam"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-7,
        amsgrad: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1=beta_1, beta_2=beta_2, **common)
        self.epsilon = float(epsilon)
        self.amsgrad = amsgrad

    def apply_dense(self, step: Step, variable: Any, gradient: Any) -> Any:
        arguments = {
            "var": variable.handle,
            "m": step.slot(variable, "m").handle,
            "v": step.slot(variable, "v").handle,
            "beta1_power": beta_power(step, "beta_1"),
            "beta2_power": beta_power(step, "beta_2"),
            "lr": step.rate,
            "beta1": step.hyper("beta_1"),
            "beta2": step.hyper("beta_2"),
            "epsilon": self.epsilon,
            "grad": gradient,
        }
        if not self.amsgrad:
            return tf.raw_ops.ResourceApplyAdam(**arguments)
        return tf.raw_ops.ResourceApplyAdamWithAmsgrad(vhat=step.slot(variable, "vhat").handle, **arguments)

    def apply_sparse(self, step: Step, variable: Any, gradient: Any, indices: Any) -> Any:
        m = decayed_add(step.slot(variable, "m"), step.hyper("beta_1"), gradient, indices)
        v = decayed_add(step.slot(variable, "v"), step.hyper("beta_2"), gradient * gradient, indices)
        if self.amsgrad:
            largest = step.slot(variable, "vhat")
            v = largest.assign(tf.maximum(largest.read_value(), v))
        rate = step.once("corrected rate", lambda: _corrected_rate(step))
        return variable.assign_sub(rate * m / (tf.sqrt(v) + self.epsilon), read_value=False)


def beta_power(step: Step, name: str) -> Any:
    """The hyperparameter to the power of the step's number."""
    return step.once(f"{name} power", lambda: tf.pow(step.hyper(name), step.number))


def decayed_add(slot: Any, beta: Any, values: Any, indices: Any) -> Any:
    """`slot = beta * slot`, then `(1 - beta) * values` added to the rows `indices`; returns the new slot's value."""
    with tf.control_dependencies([slot.assign(slot.read_value() * beta, read_value=False)]):
        added = tf.raw_ops.ResourceScatterAdd(resource=slot.handle, indices=indices, updates=(1.0 - beta) * values)
    with tf.control_dependencies([added]):
        return slot.read_value()


def _corrected_rate(step: Step) -> Any:
    return step.rate * tf.sqrt(1.0 - beta_power(step, "beta_2")) / (1.0 - beta_power(step, "beta_1"))
