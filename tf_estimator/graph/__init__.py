"""Traced graphs: a model_fn as a TensorFlow graph (`TracedModel`), and functions of parts of it that run on any set of
variables.

May import of the engine's folders: `distribution`. Start with `tracing.py`.
"""
