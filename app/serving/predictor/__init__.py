"""The predictor process: holds SavedModels and runs batches. The only TensorFlow under `app/`.

Imports leaves of `app.serving`. Start with `__main__.py`.
"""
