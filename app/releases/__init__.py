"""Releases as values: the plan, what is counted of each arm, the decision to go on, to wait or to go back.

Imports nothing of ours. Start with `decide.py`.
"""
