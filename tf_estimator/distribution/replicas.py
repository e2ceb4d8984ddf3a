"""Replicas of a run, as a `tf.distribute.Strategy` of the user's configures them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

v1 = tf.compat.v1

_LOCAL = (tf.distribute.MirroredStrategy, v1.distribute.MirroredStrategy)
_ONE = (tf.distribute.OneDeviceStrategy, v1.distribute.OneDeviceStrategy)
_CLUSTER = (
    tf.distribute.MultiWorkerMirroredStrategy,
    tf.distribute.experimental.MultiWorkerMirroredStrategy,
    v1.distribute.experimental.MultiWorkerMirroredStrategy,
)


@dataclass(frozen=True)
class Replicas:
    """The replicas of one run.

    Attributes:
        devices: one per replica of this process.
        workers: how many processes take part.
        worker: this one, counted from 0; 0 is the chief.
    """

    devices: tuple[str, ...]
    workers: int = 1
    worker: int = 0

    @property
    def total(self) -> int:
        """Replicas of all processes."""
        return len(self.devices) * self.workers

    @property
    def first(self) -> int:
        """Number of this process' first replica among all."""
        return len(self.devices) * self.worker

    def input_context(self) -> tf.distribute.InputContext:
        """What an `input_fn` may ask for: it is called once per process, for batches of one replica."""
        return tf.distribute.InputContext(self.workers, self.worker, self.total)


def training_replicas(config: Any) -> Replicas | None:
    """The replicas of a training; None for one device of TensorFlow's choice.

    Raises:
        ValueError: a strategy that is not supported, or two of them.
    """
    return _chosen(config, "train_distribute")


def evaluation_replicas(config: Any) -> Replicas | None:
    """The replicas of an evaluation; None for one device of TensorFlow's choice.

    Raises:
        ValueError: a strategy that is not supported, or two of them.
    """
    found = _chosen(config, "eval_distribute")
    if found is not None and found.workers > 1:
        raise ValueError(
            "eval_distribute can't be a MultiWorkerMirroredStrategy with several workers: one process evaluates. "
            "Use a MirroredStrategy or leave it out."
        )
    return found


def _chosen(config: Any, field: str) -> Replicas | None:
    both = config.experimental_distribute
    if getattr(both, "remote_cluster", None) is not None:
        raise ValueError(
            "RunConfig.experimental_distribute.remote_cluster is not supported: start the program in each process of "
            "the cluster, with TF_CONFIG set."
        )
    own, other = getattr(config, field), getattr(both, field, None)
    if own is not None and other is not None:
        raise ValueError(f"RunConfig: give either {field} or experimental_distribute.{field}, not both.")
    strategy = own if own is not None else other
    return None if strategy is None else _replicas(strategy, field)


def _replicas(strategy: Any, field: str) -> Replicas:
    if isinstance(strategy, _CLUSTER):
        return _cluster_replicas(strategy)
    if isinstance(strategy, _LOCAL + _ONE):
        return Replicas(tuple(strategy.extended.worker_devices))
    raise ValueError(
        f"RunConfig.{field} is {strategy!r}; it must be a tf.distribute.MirroredStrategy, OneDeviceStrategy or "
        "MultiWorkerMirroredStrategy. Parameter servers and TPUs are not supported."
    )


def _cluster_replicas(strategy: Any) -> Replicas:
    devices = tuple(strategy.extended.worker_devices)
    resolver = strategy.cluster_resolver
    jobs = resolver.cluster_spec().as_dict() if resolver is not None else {}
    leaders = len(jobs.get("chief", []))
    workers = leaders + len(jobs.get("worker", []))
    if workers <= 1 or resolver.task_type == "evaluator":
        return Replicas(devices)
    worker = int(resolver.task_id) + (leaders if resolver.task_type == "worker" else 0)
    return Replicas(devices, workers, worker)
