"""Several API processes on one host, each with its predictor, below one parent that keeps what they share.

Imports `app.config`, `app.log`, `app.process`, `app.private_files`, `app.serving`, and in the nursery `app.main`. Start
with `parent.py`.
"""

from app import lean_imports  # noqa: F401
