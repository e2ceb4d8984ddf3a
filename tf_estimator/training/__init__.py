"""Runs of training, evaluation and prediction over a trace.

Imports `loop`, `checkpoint`, `graph`, `inputs` and `hooks`; `Estimator` imports it. Start with `run.py`.
"""
