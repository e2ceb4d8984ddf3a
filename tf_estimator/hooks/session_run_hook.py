"""The hook protocol: TensorFlow's own classes, so that a user's hooks fit unchanged.

A hook may also have `next_step(global_step) -> int | None`: the next global step after which it wants `before_run` and
`after_run`, None for never. The loop then runs in one call up to there. A hook without it is called at every step.

A hook without it that only reads values, and need not see them before the next step is done, may say so by a true
attribute `values_later`. A training then does up to 128 steps in one call: `before_run` comes once before it, and after
it `after_run` comes for each of the steps in turn, with that step's values. What the session reads there are the
variables after the last of them, and a stop that is asked for comes after it. By a method `most_later(global_step)` it
may say how many steps the next call has at most. Steps run one by one, as for any hook, where another hook is due at
each step, where feeds or a trace are requested, where a requested value is no plain number of static shape (or all
together take more than half a megabyte a step), with several replicas, in evaluations and in predictions.
"""

import tensorflow as tf

SessionRunHook = tf.compat.v1.train.SessionRunHook
SessionRunArgs = tf.compat.v1.train.SessionRunArgs
SessionRunContext = tf.compat.v1.train.SessionRunContext
SessionRunValues = tf.compat.v1.train.SessionRunValues
