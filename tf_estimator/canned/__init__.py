"""Estimators with a ready-made model_fn.

May import of the engine's folders: `estimator`, `feature_column`, `graph`, `head`, `metrics`, `optimizer`,
`recurrent`. Start with `dnn.py`.
"""
