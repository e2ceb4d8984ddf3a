"""Optimizers of TensorFlow 1 and learning rates in a model_fn."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .models import line_model, make, rows, trained, v1
from .registry import add

THEME = "optimizers"

train = v1.train
MAKERS = {
    "GradientDescent": lambda: train.GradientDescentOptimizer(0.1),
    "Momentum": lambda: train.MomentumOptimizer(0.1, 0.9),
    "Nesterov": lambda: train.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
    "Adagrad": lambda: train.AdagradOptimizer(0.1),
    "Adagrad of another start": lambda: train.AdagradOptimizer(0.1, initial_accumulator_value=1.0),
    "Adadelta": lambda: train.AdadeltaOptimizer(0.1),
    "Adam": lambda: train.AdamOptimizer(0.1),
    "Adam of other rates": lambda: train.AdamOptimizer(0.1, 0.5, 0.6, 1e-3),
    "RMSProp": lambda: train.RMSPropOptimizer(0.1),
    "RMSProp centered": lambda: train.RMSPropOptimizer(0.1, momentum=0.5, centered=True),
    "Ftrl": lambda: train.FtrlOptimizer(0.1),
    "Ftrl with penalties": lambda: train.FtrlOptimizer(
        0.1, l1_regularization_strength=0.1, l2_regularization_strength=0.1
    ),
    "ProximalAdagrad": lambda: train.ProximalAdagradOptimizer(0.1),
    "ProximalGradientDescent": lambda: train.ProximalGradientDescentOptimizer(0.1, l1_regularization_strength=0.1),
    "AdagradDA": lambda: train.AdagradDAOptimizer(0.1, train.get_global_step()),
}
RATES = {
    "exponential": lambda s: train.exponential_decay(0.1, s, 2, 0.5),
    "exponential in steps": lambda s: train.exponential_decay(0.1, s, 2, 0.5, staircase=True),
    "polynomial": lambda s: train.polynomial_decay(0.1, s, 4, 0.01, power=2.0),
    "natural": lambda s: train.natural_exp_decay(0.1, s, 2, 0.5),
    "inverse time": lambda s: train.inverse_time_decay(0.1, s, 2, 0.5),
    "piecewise": lambda s: train.piecewise_constant(s, [1, 2], [0.1, 0.05, 0.01]),
    "cosine": lambda s: train.cosine_decay(0.1, s, 4),
    "cosine with restarts": lambda s: train.cosine_decay_restarts(0.1, s, 2),
    "linear cosine": lambda s: train.linear_cosine_decay(0.1, s, 4),
    "warm up": lambda s: tf.minimum(1.0, tf.cast(s + 1, tf.float32) / 3) * 0.1,
}
for _name, _make in MAKERS.items():
    add(THEME, _name, lambda est, d, made=_make: trained(make(est, d, line_model(est, made)), rows(), steps=3))
for _name, _rate in RATES.items():
    add(
        THEME,
        f"rate {_name}",
        lambda est, d, rate=_rate: trained(
            make(est, d, line_model(est, lambda: train.GradientDescentOptimizer(rate(train.get_global_step())))),
            rows(),
            steps=3,
        ),
    )


def _by_hand(apply: Any) -> Any:
    def model_fn_of(est: Any) -> Any:
        def more(predicted: Any, labels: Any, loss: Any, w: Any, b: Any) -> Any:
            step = train.get_global_step()
            with tf.control_dependencies([apply(train.GradientDescentOptimizer(0.1), loss, step, w, b)]):
                return {"train_op": v1.assign_add(step, 1)}

        return line_model(est, lambda: train.GradientDescentOptimizer(0.0), train=more)

    return model_fn_of


def _clipped(optimizer: Any, loss: Any, step: Any, w: Any, b: Any) -> Any:
    gradients, variables = zip(*optimizer.compute_gradients(loss), strict=True)
    return optimizer.apply_gradients(zip(tf.clip_by_global_norm(gradients, 0.5)[0], variables, strict=True))


def _only_w(optimizer: Any, loss: Any, step: Any, w: Any, b: Any) -> Any:
    return optimizer.minimize(loss, var_list=[w])


def _two(optimizer: Any, loss: Any, step: Any, w: Any, b: Any) -> Any:
    other = train.MomentumOptimizer(0.2, 0.5)
    return tf.group(optimizer.minimize(loss, var_list=[w]), other.minimize(loss, var_list=[b]))


def _average(optimizer: Any, loss: Any, step: Any, w: Any, b: Any) -> Any:
    average = train.ExponentialMovingAverage(0.5, step)
    with tf.control_dependencies([optimizer.minimize(loss)]):
        return average.apply([w, b])


def _penalty(optimizer: Any, loss: Any, step: Any, w: Any, b: Any) -> Any:
    return optimizer.minimize(loss + 0.1 * tf.nn.l2_loss(w) + tf.abs(b))


def _by_gradients(optimizer: Any, loss: Any, step: Any, w: Any, b: Any) -> Any:
    (slope,) = tf.gradients(loss, [w])
    return v1.assign_sub(w, 0.3 * slope)


for _name, _apply in (("clipped", _clipped), ("one variable", _only_w), ("two optimizers", _two),
                      ("moving average", _average), ("penalty", _penalty), ("by hand", _by_gradients)):  # fmt: skip
    add(THEME, _name, lambda est, d, apply=_apply: trained(make(est, d, _by_hand(apply)(est)), rows(), steps=3))
