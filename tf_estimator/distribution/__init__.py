"""Training and evaluating on several devices, and in several processes, in lock step.

A model_fn is traced once, as what one replica does. `strategy` marks the values that are reduced over replicas,
`replicate` makes one graph of as many copies as there are devices, `divergence` finds what would make the copies
differ, `peers` connects the processes.

May import of the engine's folders: nothing. Start with `replicas.py`.
"""
