"""Data sets: files to columns on disk, and those columns read again.

Imports `app.jobs`, `app.errors`, `app.storage`. Start with `ingest.py`, then `table.py`.
"""
