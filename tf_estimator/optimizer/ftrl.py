"""FTRL-proximal (McMahan et al. 2013, "Ad click prediction")."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .base import GraphOptimizer, Number, Rate, Step


class Ftrl(GraphOptimizer):
    """FTRL-proximal with L1, L2, L2 shrinkage and beta; the L2 in use is `l2 + beta / (2 rate)`.

    Slots: `accumulator` (sum of squared gradients) and `linear`.

    Raises:
        ValueError: a strength or the initial accumulator is negative, or `learning_rate_power` positive.
    """

    default_name = "Ftrl"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        learning_rate_power: Number = -0.5,
        initial_accumulator_value: Number = 0.1,
        l1_regularization_strength: Number = 0.0,
        l2_regularization_strength: Number = 0.0,
        l2_shrinkage_regularization_strength: Number = 0.0,
        beta: Number = 0.0,
        **common: Any,
    ) -> None:
        positive = {
            "initial_accumulator_value": initial_accumulator_value,
            "l1_regularization_strength": l1_regularization_strength,
            "l2_regularization_strength": l2_regularization_strength,
            "l2_shrinkage_regularization_strength": l2_shrinkage_regularization_strength,
        }
        for key, value in positive.items():
            if value < 0:
                raise ValueError(f"{key} must be 0 or more, not {value}.")
        if learning_rate_power > 0:
            raise ValueError(f"learning_rate_power must be 0 or less, not {learning_rate_power}.")
        super().__init__(
            learning_rate,
            learning_rate_power=learning_rate_power,
            l1_regularization_strength=l1_regularization_strength,
            l2_regularization_strength=l2_regularization_strength,
            beta=beta,
            **common,
        )
        self.initial_accumulator_value = float(initial_accumulator_value)
        self.shrinkage = float(l2_shrinkage_regularization_strength)

    def apply_dense(self, step: Step, variable: Any, gradient: Any) -> Any:
        apply = tf.raw_ops.ResourceApplyFtrlV2 if self.shrinkage else tf.raw_ops.ResourceApplyFtrl
        return apply(grad=gradient, **self._arguments(step, variable))

    def apply_sparse(self, step: Step, variable: Any, gradient: Any, indices: Any) -> Any:
        apply = tf.raw_ops.ResourceSparseApplyFtrlV2 if self.shrinkage else tf.raw_ops.ResourceSparseApplyFtrl
        return apply(grad=gradient, indices=indices, **self._arguments(step, variable))

    def _arguments(self, step: Step, variable: Any) -> dict[str, Any]:
        shrinkage = {"l2_shrinkage": self.shrinkage} if self.shrinkage else {}
        return {
            "var": variable.handle,
            "accum": step.slot(variable, "accumulator", self.initial_accumulator_value).handle,
            "linear": step.slot(variable, "linear").handle,
            "lr": step.rate,
            "l1": step.hyper("l1_regularization_strength"),
            "l2": step.once("l2", lambda: self._l2(step)),
            "lr_power": step.hyper("learning_rate_power"),
            **shrinkage,
        }

    def _l2(self, step: Step) -> Any:
        l2 = step.hyper("l2_regularization_strength")
        return l2 + step.hyper("beta") / (2.0 * step.rate)
