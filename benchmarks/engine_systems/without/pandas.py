"""Stands where pandas would be, as if it were not installed: see `environment` in benchmarks/engine.py."""

raise ImportError("pandas is hidden from this measurement")
