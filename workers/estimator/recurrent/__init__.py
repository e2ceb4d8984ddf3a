"""Recurrent layers over whole sequences, with fast gradients; time first, steps behind a row's end are not treated."""

from workers.estimator.recurrent.gru import gru
from workers.estimator.recurrent.lstm import lstm
from workers.estimator.recurrent.simple import simple_rnn

__all__ = ["gru", "lstm", "simple_rnn"]
