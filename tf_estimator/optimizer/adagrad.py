"""Adagrad (Duchi, Hazan, Singer 2011)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .base import GraphOptimizer, Number, Rate, Step


class Adagrad(GraphOptimizer):
    """`a += g²; w -= rate * g / (√a + epsilon)`. Slot: `accumulator` (a)."""

    default_name = "Adagrad"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        initial_accumulator_value: Number = 0.1,
        epsilon: Number = 1e-7,
        **common: Any,
    ) -> None:
        if initial_accumulator_value < 0:
            raise ValueError(f"initial_accumulator_value must be 0 or more, not {initial_accumulator_value}.")
        super().__init__(learning_rate, **common)
        self.initial_accumulator_value = float(initial_accumulator_value)
        self.epsilon = float(epsilon)

    def apply_dense(self, step: Step, variable: Any, gradient: Any) -> Any:
        return tf.raw_ops.ResourceApplyAdagradV2(grad=gradient, **self._arguments(step, variable))

    def apply_sparse(self, step: Step, variable: Any, gradient: Any, indices: Any) -> Any:
        return tf.raw_ops.ResourceSparseApplyAdagradV2(
            grad=gradient, indices=indices, **self._arguments(step, variable)
        )

    def _arguments(self, step: Step, variable: Any) -> dict[str, Any]:
        return {
            "var": variable.handle,
            "accum": step.slot(variable, "accumulator", self.initial_accumulator_value).handle,
            "lr": step.rate,
            "epsilon": self.epsilon,
        }
