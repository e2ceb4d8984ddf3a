"""Writers of chunks as columns on disk, with statistics.

Imports leaves of `app.datasets`. Start with `table_writer.py`.
"""
