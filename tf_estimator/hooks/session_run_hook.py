"""The hook protocol: TensorFlow's own classes, so that a user's hooks fit unchanged.

A hook may also have `next_step(global_step) -> int | None`: the next global step after which it wants `before_run` and
`after_run`, None for never. The loop then runs in one call up to there. A hook without it is called at every step.
"""

import tensorflow as tf

SessionRunHook = tf.compat.v1.train.SessionRunHook
SessionRunArgs = tf.compat.v1.train.SessionRunArgs
SessionRunContext = tf.compat.v1.train.SessionRunContext
SessionRunValues = tf.compat.v1.train.SessionRunValues
