"""Bookkeeping of one attempt: heartbeat, stop requests, progress, files, resource usage.

Imports `app.registry` and leaves. Start with `attempt.py`.
"""
