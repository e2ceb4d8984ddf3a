"""Imports TensorFlow without looking for garbage meanwhile.

An import makes some hundred thousand objects that stay, and a collector that looks at them again and again: that took
0.6 of 2.4 seconds. Nor are they looked at later: a full collection took a quarter of a second and found nothing.
"""

import gc
import sys

if "tensorflow" not in sys.modules and gc.isenabled():
    gc.disable()
    try:
        import tensorflow  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()
