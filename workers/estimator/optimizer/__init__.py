"""Optimizers as graph ops, with the names that old checkpoints use."""

from workers.estimator.optimizer.adadelta import Adadelta
from workers.estimator.optimizer.adagrad import Adagrad
from workers.estimator.optimizer.adam import Adam
from workers.estimator.optimizer.adamax import Adamax
from workers.estimator.optimizer.base import TRAINING_SCOPE, GraphOptimizer
from workers.estimator.optimizer.ftrl import Ftrl
from workers.estimator.optimizer.nadam import Nadam
from workers.estimator.optimizer.resolve import optimizer_class, resolve_optimizer
from workers.estimator.optimizer.rmsprop import RMSprop
from workers.estimator.optimizer.sgd import SGD

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
