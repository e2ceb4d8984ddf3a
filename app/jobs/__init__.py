"""Job requests, specifications and states, as values.

Imports `app.errors` and `app.ids` only. Start with `parse.py`.
"""
