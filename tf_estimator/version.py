"""The project's version. `estimator_client/version.py` and `app/version.py` are links to this file."""

__version__ = "0.1.0"
