"""Training and evaluating on several devices, and in several processes, in lock step.

A model_fn is traced once, as what one replica does. `strategy` lets it (and its optimizer) ask for sums over all
replicas, which leave marks in the graph; `replicate` makes one graph of as many copies of it as there are devices, with
the marks replaced by sums; `divergence` finds what would make the copies differ; `peers` talks to the other
processes.
"""
