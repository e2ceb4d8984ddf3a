"""The SQL registry: one repository a noun.

Imports `app.jobs`, `app.releases`, `app.errors`, `app.ids`, `app.storage`. Start with `tables.py`, then `db.py`.
"""
