"""`FeedFnHook`: feeds tensors at each step."""

import tensorflow as tf

#: Calls `feed_fn()` before each step and feeds the dict of tensor to value that it returns.
FeedFnHook = tf.compat.v1.train.FeedFnHook
