"""Runs of training, evaluation and prediction over a traced model: hooks, checkpoints, the loop of an `Estimator`.

May import of the engine's folders: `checkpoint`, `distribution`, `graph`, `inputs`, `loop`. Start with `run.py`.
"""
