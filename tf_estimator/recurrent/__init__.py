"""Recurrent layers over whole sequences, with fast gradients; time first, steps behind a row's end are not treated."""

from .gru import gru
from .lstm import lstm
from .simple import simple_rnn

__all__ = ["gru", "lstm", "simple_rnn"]
