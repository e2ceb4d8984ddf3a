"""FastAPI's routes and their schemas.

Imports all of `app` but `app.main`. Start with `application.py`.
"""
