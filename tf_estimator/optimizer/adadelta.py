"""Adadelta (Zeiler 2012)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .base import GraphOptimizer, Number, Rate, Step


class Adadelta(GraphOptimizer):
    """`a = ρa + (1-ρ)g²; d = √(u + epsilon)/√(a + epsilon) * g; u = ρu + (1-ρ)d²; w -= rate * d`.

    Slots: `accum_grad` (a), `accum_var` (u).
    """

    default_name = "Adadelta"

    def __init__(self, learning_rate: Rate = 0.001, rho: Number = 0.95, epsilon: Number = 1e-7, **common: Any) -> None:
        super().__init__(learning_rate, rho=rho, **common)
        self.epsilon = float(epsilon)

    def apply_dense(self, step: Step, variable: Any, gradient: Any) -> Any:
        return tf.raw_ops.ResourceApplyAdadelta(grad=gradient, **self._arguments(step, variable))

    def apply_sparse(self, step: Step, variable: Any, gradient: Any, indices: Any) -> Any:
        return tf.raw_ops.ResourceSparseApplyAdadelta(grad=gradient, indices=indices, **self._arguments(step, variable))

    def _arguments(self, step: Step, variable: Any) -> dict[str, Any]:
        return {
            "var": variable.handle,
            "accum": step.slot(variable, "accum_grad").handle,
            "accum_update": step.slot(variable, "accum_var").handle,
            "lr": step.rate,
            "rho": step.hyper("rho"),
            "epsilon": self.epsilon,
        }
