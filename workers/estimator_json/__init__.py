"""Estimators and their arguments as JSON: schema, and objects built from it.

Imports the engine only. Start with `build.py`.
"""
