"""Bodies of requests and responses, as pydantic models.

Imports pydantic only. Start with `view.py`.
"""
