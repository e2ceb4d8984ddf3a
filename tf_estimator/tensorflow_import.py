"""Imports TensorFlow without looking for garbage meanwhile.

An import makes some hundred thousand objects that stay, and a collector that looks at them again and again: that took
0.6 of 2.4 seconds. Nor are they looked at later: a full collection took a quarter of a second and found nothing. At the
end of a program there are several: that took a second of 3.7. So it also is for a program that has just imported
TensorFlow itself, as most do; not for one that has begun to work with it, whose models may one day be garbage.
"""

import gc
import sys


def import_tensorflow() -> None:
    """Raises ModuleNotFoundError with the remedy when TensorFlow is not installed."""
    try:
        import tensorflow  # noqa: F401
    except ModuleNotFoundError as missing:
        if missing.name != "tensorflow":
            raise
        raise ModuleNotFoundError(
            "tf_estimator needs TensorFlow 2.21, which is not installed here: "
            "pip install 'tensorflow-cpu==2.21.*' (Linux on x86-64) or pip install 'tensorflow==2.21.*'",
            name="tensorflow",
        ) from None


if "tensorflow" not in sys.modules:
    collecting = gc.isenabled()
    gc.disable()
    try:
        import_tensorflow()
    finally:
        if collecting:
            gc.freeze()
            gc.enable()
elif gc.isenabled():
    from tensorflow.python.eager import context

    if context.context_safe() is None:  # which the first operation makes
        gc.freeze()
