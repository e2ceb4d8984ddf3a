"""Names that old code needs besides the Estimator itself: those of `tf.estimator`, Keras models, Polyaxon.

May import of the engine's folders: `canned`, `checkpoint`, `distribution`, `early_stopping`, `estimator`, `export`,
`feature_column`, `graph`, `head`, `hooks`, `inputs`, `metrics`, `optimizer`, `recurrent`, `train_and_evaluate`,
`training`. Start with `installation.py`.
"""

from .installation import install

__all__ = ["install"]
