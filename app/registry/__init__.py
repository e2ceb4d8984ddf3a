"""The SQL registry: one repository a noun.

Imports `app.jobs`, `app.errors`, `app.ids`, `app.storage`. Start with `tables.py`, then `db.py`.
"""
