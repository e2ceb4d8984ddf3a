"""Optimizers as graph operations, with the variable names of old checkpoints.

May import of the engine's folders: `distribution`. Start with `base.py`.
"""

from .adadelta import Adadelta
from .adagrad import Adagrad
from .adam import Adam
from .adamax import Adamax
from .base import TRAINING_SCOPE, GraphOptimizer
from .ftrl import Ftrl
from .nadam import Nadam
from .resolve import optimizer_class, resolve_optimizer
from .rmsprop import RMSprop
from .sgd import SGD

__all__ = [
    "TRAINING_SCOPE",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "Adamax",
    "Ftrl",
    "GraphOptimizer",
    "Nadam",
    "RMSprop",
    "optimizer_class",
    "resolve_optimizer",
]
