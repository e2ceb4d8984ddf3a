"""Stochastic gradient descent, plain, with momentum or with Nesterov's momentum."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .base import GraphOptimizer, Number, Rate, Step


class SGD(GraphOptimizer):
    """`v = momentum * v - rate * g; w += v`, or with Nesterov `w += momentum * v - rate * g`; without momentum
    `w -= rate * g`. Slot: `momentum` (v), only where momentum is more than 0."""

    default_name = "SGD"

    def __init__(
        self, learning_rate: Rate = 0.01, momentum: Number = 0.0, nesterov: bool = False, **common: Any
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be between 0 and 1, not {momentum}.")
        super().__init__(learning_rate, momentum=momentum, **common)
        self.nesterov = nesterov

    def apply_dense(self, step: Step, variable: Any, gradient: Any) -> Any:
        if not self.hypers["momentum"]:
            return tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=step.rate, delta=gradient)
        return tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=step.slot(variable, "momentum").handle,
            lr=step.rate,
            grad=gradient,
            momentum=step.hyper("momentum"),
            use_nesterov=self.nesterov,
        )

    def apply_sparse(self, step: Step, variable: Any, gradient: Any, indices: Any) -> Any:
        if not self.hypers["momentum"]:
            return tf.raw_ops.ResourceScatterAdd(
                resource=variable.handle, indices=indices, updates=-step.rate * gradient
            )
        return tf.raw_ops.ResourceSparseApplyKerasMomentum(
            var=variable.handle,
            accum=step.slot(variable, "momentum").handle,
            lr=step.rate,
            grad=gradient,
            indices=indices,
            momentum=step.hyper("momentum"),
            use_nesterov=self.nesterov,
        )
