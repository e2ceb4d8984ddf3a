"""Model reports: what an evaluation says beyond its metrics, as JSON. Numpy only, so that any process may make one.

Imports nothing of ours outside this folder. Start with `report.py`.
"""
