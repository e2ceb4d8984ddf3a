"""The Celery side of a worker: takes messages, claims attempts, holds the trainer process. No TensorFlow.

Imports `app.registry` and leaves. Start with `tasks.py`, then `slot.py`.
"""
