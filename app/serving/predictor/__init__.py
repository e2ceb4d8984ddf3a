"""The predictor process: holds SavedModels and runs batches. The only TensorFlow under `app/`.

Imports leaves of `app.serving`, and for warm-up records `app.protocols.warm_up_records`. Start with `__main__.py`.
"""
