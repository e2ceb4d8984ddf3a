"""What each type of job does, one module a type.

Imports `workers.attempt`, `workers.data`, `workers.estimator_json` and the engine. Start with `train.py`.
"""
