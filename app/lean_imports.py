"""Imports for which libraries would import more than the service uses. Import this before anything else.

Structlog takes rich for a console that nobody looks at: 5 MB in each of the service's processes.
"""

from app.process import without

with without(["better_exceptions", "rich"]):
    import structlog  # noqa: F401
