"""One reader per file format, each giving chunks of rows.

Imports leaves of `app.datasets` and `app.errors`. Start with `decompress.py`.
"""
