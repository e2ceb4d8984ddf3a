"""The HTTP edge: plain ASGI and uvicorn, from the socket to a prediction or to FastAPI.

Imports `app.serving`, `app.errors`, `app.registry` and leaves, never FastAPI routes. Start with `admission.py`.
"""
