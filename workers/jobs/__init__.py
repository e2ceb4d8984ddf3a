"""The work of each job type, one module per type.

Imports `workers.attempt`, `workers.data`, `workers.estimator_json` and the engine. Start with `train.py`.
"""
