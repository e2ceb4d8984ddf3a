"""Inputs: batches straight from columns, and what an `input_fn` may return."""
