"""Repositories of jobs and attempts: for the API, for workers and for the reconciler.

Imports what `app.registry` may. Start with `transitions.py`.
"""
