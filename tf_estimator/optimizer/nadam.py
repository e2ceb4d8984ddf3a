"""Nadam, Adam with Nesterov's momentum (Dozat 2015)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .adam import beta_power, decayed_add
from .base import GraphOptimizer, Number, Rate, Step
from .slot_variable import root_variable


class Nadam(GraphOptimizer):
    """With μₜ = β₁(1 - ½·0.96^(decay·t)) and Πₜ the product of μ up to t, kept in `momentum_cache`:
    `m = β₁m + (1-β₁)g; v = β₂v + (1-β₂)g²;
    w -= rate * ((1-μₜ)g/(1-Πₜ) + μₜ₊₁ m/(1-Πₜ₊₁)) / (√(v/(1-β₂ᵗ)) + epsilon)`. Slots: `m`, `v`.

    `schedule_decay` is the decay in μ, 0.004 in the paper and the old library; it is kept where the old one kept it,
    in the hyperparameter `decay`, and does not change the rate.
    """

    default_name = "Nadam"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: Number = 0.9,
        beta_2: Number = 0.999,
        epsilon: Number = 1e-7,
        schedule_decay: Number = 0.004,
        **common: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1=beta_1, beta_2=beta_2, **common)
        self.epsilon = float(epsilon)
        self.schedule_decay = self.decay or float(schedule_decay)
        self.decay = self.schedule_decay

    def prepare(self, step: Step) -> None:
        cache = root_variable(f"{step.scope}/momentum_cache", initial=1.0)
        mu, product = self._mu(step, 0), cache.read_value()
        step.once("product", lambda: product * mu)
        with tf.control_dependencies([cache.assign(product * mu, read_value=False)]):
            step.once("next product", lambda: product * mu * self._mu(step, 1))

    def apply_dense(self, step: Step, variable: Any, gradient: Any) -> Any:
        m, v = step.slot(variable, "m"), step.slot(variable, "v")
        beta_1, beta_2 = step.hyper("beta_1"), step.hyper("beta_2")
        new_m = m.assign(beta_1 * m.read_value() + (1.0 - beta_1) * gradient)
        new_v = v.assign(beta_2 * v.read_value() + (1.0 - beta_2) * tf.square(gradient))
        return variable.assign_sub(self._change(step, gradient, new_m, new_v), read_value=False)

    def apply_sparse(self, step: Step, variable: Any, gradient: Any, indices: Any) -> Any:
        m = decayed_add(step.slot(variable, "m"), step.hyper("beta_1"), gradient, indices)
        v = decayed_add(step.slot(variable, "v"), step.hyper("beta_2"), gradient * gradient, indices)
        change = self._change(step, gradient, tf.gather(m, indices), tf.gather(v, indices))
        return tf.raw_ops.ResourceScatterAdd(resource=variable.handle, indices=indices, updates=-change)

    def _change(self, step: Step, gradient: Any, m: Any, v: Any) -> Any:
        now = (1.0 - self._mu(step, 0)) * gradient / (1.0 - step.once("product", _missing))
        ahead = self._mu(step, 1) * m / (1.0 - step.once("next product", _missing))
        spread = tf.sqrt(v / (1.0 - beta_power(step, "beta_2"))) + self.epsilon
        return self._plain_rate(step) * (now + ahead) / spread

    def _plain_rate(self, step: Step) -> Any:
        return step.hyper("learning_rate") if isinstance(self.learning_rate, (int, float)) else step.rate

    def _mu(self, step: Step, ahead: int) -> Any:
        return step.once(
            f"mu {ahead}",
            lambda: step.hyper("beta_1") * (1.0 - 0.5 * tf.pow(0.96, self.schedule_decay * (step.number + ahead))),
        )


def _missing() -> Any:
    raise AssertionError("prepare() makes this tensor")
