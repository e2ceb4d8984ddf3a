"""Ours: the whole `Estimator` path with its default hooks."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tf_estimator as est  # before TensorFlow, which it imports faster

# isort: split
from typing import Any

import numpy as np
from clock_hooks import AskingClock
from estimator_api import Measured
from report import task

from tf_estimator.optimizer import Adagrad

CONFIG = {"w1_jit": {"jit_compile": True}, "w2_bf16": {"mixed_precision": "bfloat16"}}


def columns(features: dict[str, Any], labels: np.ndarray, batch: int, **how: Any) -> Any:
    made = {name: est.inputs.Sequence(*c) if isinstance(c, tuple) else c for name, c in features.items()}
    return est.inputs.columns_input_fn(made, labels, batch_size=batch, **how)


job = task()
Measured(job, est, Adagrad, AskingClock, columns, CONFIG.get(job["workload"])).run()
