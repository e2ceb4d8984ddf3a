"""Artifacts in an object store (S3, Google Cloud Storage, Azure), with a cache of files on each host.

Imports `app.storage`, `app.digest`, `app.errors`. Start with `object_storage.py`.
"""
