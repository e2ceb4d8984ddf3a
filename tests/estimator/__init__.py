"""Tests of the engine, and programs that they start: so all import TensorFlow by way of it, in three quarters of the
time."""

import tf_estimator  # noqa: F401
