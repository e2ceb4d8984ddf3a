"""Training steps as functions: one step a call, or many steps in one.

Imports `graph` and what that may import. Start with `step.py`.
"""
