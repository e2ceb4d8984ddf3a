"""The peer: tf.estimator 2.15.1, in an environment of its own."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from clock_hooks import CountingClock
from estimator_api import Measured
from report import task

Measured(task(), tf.estimator, tf.keras.optimizers.legacy.Adagrad, CountingClock).run()
