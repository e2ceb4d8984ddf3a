"""Workload W1: 20 scalar numeric features in a dict, [64, 32], 3 classes, batch 128, 12,800 rows, Adagrad(0.001).

Numpy only, so that every system reads the same: today's TensorFlow, TensorFlow 2.15 and Keras.
"""

from __future__ import annotations

import numpy as np

FEATURES = [f"x{i}" for i in range(20)]
HIDDEN_UNITS = [64, 32]
CLASSES = 3
ROWS = 12_800
BATCH = 128
LEARNING_RATE = 0.001
ACCUMULATOR = 0.1
COMPARED_ROWS = 50 * BATCH  # `loss_end` is the mean loss over these


def data() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Features as float32 columns [12800], labels int64 [12800] in 0..2 from a fixed random network with noise."""
    random = np.random.default_rng(20)
    x = random.normal(size=(ROWS, len(FEATURES))).astype(np.float32)
    hidden = np.tanh(x @ random.normal(size=(len(FEATURES), 8)))
    scores = hidden @ random.normal(size=(8, CLASSES)) + random.normal(scale=0.3, size=(ROWS, CLASSES))
    return {name: np.ascontiguousarray(x[:, i]) for i, name in enumerate(FEATURES)}, scores.argmax(1).astype(np.int64)


def start_variables() -> dict[str, np.ndarray]:
    """The starting checkpoint under tf.estimator's names: Glorot uniform kernels, zero biases, fresh Adagrad slots."""
    random = np.random.default_rng(21)
    variables: dict[str, np.ndarray] = {"global_step": np.int64(0)}
    sizes = [len(FEATURES), *HIDDEN_UNITS, CLASSES]
    layers = [f"dnn/hiddenlayer_{i}" for i in range(len(HIDDEN_UNITS))] + ["dnn/logits"]
    for layer, fan_in, fan_out in zip(layers, sizes, sizes[1:], strict=False):
        limit = np.sqrt(6.0 / (fan_in + fan_out))
        variables[f"{layer}/kernel"] = random.uniform(-limit, limit, (fan_in, fan_out)).astype(np.float32)
        variables[f"{layer}/bias"] = np.zeros(fan_out, np.float32)
    for name in [name for name in variables if name != "global_step"]:
        variables[f"training/Adagrad/{name}/accumulator"] = np.full_like(variables[name], ACCUMULATOR)
    variables["training/Adagrad/learning_rate"] = np.float32(LEARNING_RATE)
    variables["training/Adagrad/decay"] = np.float32(0.0)
    return variables
