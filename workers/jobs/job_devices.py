"""The devices that a training runs on, as a `tf.distribute` strategy."""

from __future__ import annotations

import json
import os
from typing import Any

import tensorflow as tf

from app.errors import Conflict
from app.jobs.spec import Resources
from app.registry.jobs.attempts import GangMember


def split_cpu(number: int) -> None:
    """Makes the CPU so many logical devices, where there is no GPU. Before TensorFlow's first operation only."""
    if number > 1 and not tf.config.list_physical_devices("GPU"):
        (cpu,) = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration() for _ in range(number)]
        tf.config.set_logical_device_configuration(cpu, parts)


def make_strategy(resources: Resources, gang: GangMember | None) -> Any:
    """How a training uses its devices; None for one device of TensorFlow's choice. With `gang` it joins the cluster,
    which returns when all members have.

    Raises:
        Conflict: the worker has fewer devices than the job needs.
    """
    if gang is not None:
        _use_gpus(resources.devices)
        os.environ["TF_CONFIG"] = json.dumps(cluster(gang))
        made = tf.distribute.MultiWorkerMirroredStrategy()
        if made.num_replicas_in_sync != resources.replicas:
            raise Conflict(
                f"The job asks for {resources.devices} devices of each worker, and TensorFlow uses "
                f"{made.num_replicas_in_sync // resources.workers}: of workers without GPUs, one device each."
            )
        return made
    if resources.devices == 1:
        return None
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(found) < resources.devices:
        raise Conflict(f"The job needs {resources.devices} devices of a worker, and this one has {len(found)}.")
    return tf.distribute.MirroredStrategy([device.name for device in found[: resources.devices]])


def cluster(gang: GangMember) -> dict[str, Any]:
    """`TF_CONFIG` of a gang's member."""
    task = {"type": "worker", "index": gang.number - 1} if gang.number else {"type": "chief", "index": 0}
    return {"cluster": {"chief": gang.addresses[:1], "worker": gang.addresses[1:]}, "task": task}


def _use_gpus(number: int) -> None:
    """Hides the GPUs beyond `number`: a cluster's member uses all that TensorFlow sees."""
    found = tf.config.list_physical_devices("GPU")
    if not found:
        return
    if len(found) < number:
        raise Conflict(f"The job needs {number} devices of a worker, and this one has {len(found)}.")
    tf.config.set_visible_devices(found[:number], "GPU")
