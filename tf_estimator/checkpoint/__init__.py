"""Checkpoints: their files, their retention, and variables started from them.

Imports `variables` and `errors` of the engine. Start with `files.py`.
"""
