"""Training steps as functions that take their batches themselves: one step per call, or a loop over many.

May import of the engine's folders: `graph`, `inputs`. Start with `step.py`.
"""
