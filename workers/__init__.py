from app import lean_imports  # noqa: F401
