"""RMSprop (Hinton's lecture 6e), plain, with momentum, centered."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .adam import decayed_add
from .base import GraphOptimizer, Number, Rate, Step


class RMSprop(GraphOptimizer):
    """`r = ρr + (1-ρ)g²; w -= rate * g / (√r + epsilon)`; centered: r less the square of the mean gradient.

    With momentum the step is accumulated and epsilon stands inside the root, as TensorFlow's fused kernel has it.
    Slots: `rms`, `momentum` (only with momentum), `mg` (only centered).
    """

    default_name = "RMSprop"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: Number = 0.9,
        momentum: Number = 0.0,
        epsilon: Number = 1e-7,
        centered: bool = False,
        **common: Any,
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be between 0 and 1, not {momentum}.")
        super().__init__(learning_rate, rho=rho, momentum=momentum, **common)
        self.epsilon = float(epsilon)
        self.centered = centered

    def apply_dense(self, step: Step, variable: Any, gradient: Any) -> Any:
        if self.hypers["momentum"]:
            apply = tf.raw_ops.ResourceApplyCenteredRMSProp if self.centered else tf.raw_ops.ResourceApplyRMSProp
            return apply(grad=gradient, **self._fused(step, variable))
        rho = step.hyper("rho")
        rms = step.slot(variable, "rms")
        spread = tf.identity(rms.assign(rho * rms.read_value() + (1.0 - rho) * tf.square(gradient)))
        if self.centered:
            mean = step.slot(variable, "mg")
            spread -= tf.square(mean.assign(rho * mean.read_value() + (1.0 - rho) * gradient))
        return variable.assign_sub(step.rate * gradient / (tf.sqrt(spread) + self.epsilon), read_value=False)

    def apply_sparse(self, step: Step, variable: Any, gradient: Any, indices: Any) -> Any:
        if self.hypers["momentum"]:
            raw = tf.raw_ops
            apply = raw.ResourceSparseApplyCenteredRMSProp if self.centered else raw.ResourceSparseApplyRMSProp
            return apply(grad=gradient, indices=indices, **self._fused(step, variable))
        rho = step.hyper("rho")
        spread = tf.gather(decayed_add(step.slot(variable, "rms"), rho, gradient * gradient, indices), indices)
        if self.centered:
            mean = decayed_add(step.slot(variable, "mg"), rho, gradient, indices)
            spread -= tf.square(tf.gather(mean, indices))
        change = -step.rate * gradient / (tf.sqrt(spread) + self.epsilon)
        return tf.raw_ops.ResourceScatterAdd(resource=variable.handle, indices=indices, updates=change)

    def _fused(self, step: Step, variable: Any) -> dict[str, Any]:
        centered = {"mg": step.slot(variable, "mg").handle} if self.centered else {}
        return {
            "var": variable.handle,
            "ms": step.slot(variable, "rms").handle,
            "mom": step.slot(variable, "momentum").handle,
            "lr": step.rate,
            "rho": step.hyper("rho"),
            "momentum": step.hyper("momentum"),
            "epsilon": self.epsilon,
            **centered,
        }
