"""The supervisor: the whole service on one machine, and its broker.

Imports `app.config`, `app.log`, `app.process`. Start with `supervisor.py`.
"""
