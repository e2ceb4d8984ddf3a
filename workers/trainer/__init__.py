"""The trainer process, which owns TensorFlow and runs one attempt after the other.

Imports `workers.attempt`, `workers.jobs` and the engine. Start with `__main__.py`, then `runner.py`.
"""
