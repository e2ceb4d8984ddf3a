"""`FinalOpsHook`: values at the end of a run."""

from __future__ import annotations

import tensorflow as tf


class FinalOpsHook(tf.compat.v1.train.FinalOpsHook):  # type: ignore[misc]
    """Evaluates tensors once, at the end.

    Args:
        final_ops: a tensor, a list or a dict of tensors.
        final_ops_feed_dict: what to feed for it.

    Attributes:
        final_ops_values: their values after the end, None before.
    """

    def next_step(self, global_step: int) -> None:
        """Never: it waits for the end."""
        return
