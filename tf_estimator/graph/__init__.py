"""Traced graphs: a model_fn as a TensorFlow graph, and functions cut out of it.

Imports `variables`, `distribution`, `keys` and `errors` of the engine. Start with `build.py`, then `trace.py`.
"""
