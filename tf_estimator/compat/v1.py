"""`est.v1`: what `tf.compat.v1.estimator` held and differs from `tf.estimator` (v2): its canned estimators."""

from ..canned.v1 import *  # noqa: F403
from ..canned.v1 import __all__  # noqa: F401
