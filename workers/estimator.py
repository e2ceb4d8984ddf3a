"""Stands for `tf_estimator` under the engine's former name, for one release: `from workers import estimator as est`."""

import sys
import warnings

import tf_estimator

warnings.warn(
    "`workers.estimator` is now `tf_estimator`: write `import tf_estimator as est`. The old name ends soon.",
    DeprecationWarning,
    stacklevel=2,
)
sys.modules[__name__] = tf_estimator
