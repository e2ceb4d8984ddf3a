"""Predictions in the API process: versions, batches, and handles of predictor processes; no HTTP, no TensorFlow.

Imports `app.errors`, `app.process`, `app.digest` and `app.releases`. Start with `service.py`.
"""
