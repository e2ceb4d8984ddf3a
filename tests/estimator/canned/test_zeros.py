"""The share of zeros is TensorFlow's."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_estimator.canned.network import zero_fraction


@pytest.mark.parametrize(
    "values", [np.float32([0.0, 1.0, -0.0, np.nan]), np.zeros([3, 4], np.int64), np.eye(7), np.zeros([0], np.float32)]
)
def test_share_of_zeros_is_that_of_tensorflow(values: np.ndarray) -> None:
    ours, theirs = zero_fraction(tf.constant(values)), tf.nn.zero_fraction(tf.constant(values))
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)
