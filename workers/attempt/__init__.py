"""One attempt's bookkeeping: heartbeat, stop, progress, files, use of resources.

Imports `app.registry` and leaves. Start with `attempt.py`.
"""
