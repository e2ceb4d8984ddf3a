"""What old code needs beside the Estimator itself: names of `tf.estimator`, Keras models, Polyaxon.

May import all of the engine; nothing else of the engine imports it. Start with `installation.py`.
"""

from .installation import install

__all__ = ["install"]
