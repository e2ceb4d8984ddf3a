"""Recurrent layers over whole sequences, with fast gradients; time comes first, and steps after a row's end are left
out.

May import of the engine's folders: nothing. Start with `loop.py`.
"""

from .gru import gru
from .lstm import lstm
from .simple import simple_rnn

__all__ = ["gru", "lstm", "simple_rnn"]
