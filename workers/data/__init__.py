"""Columns of a data set as the engine's inputs.

Imports `app.datasets` and the engine. Start with `dataset_inputs.py`.
"""
