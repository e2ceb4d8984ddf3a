"""Memory, CPU and GPU use of a running attempt, reported with each heartbeat."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from workers import memory
from workers.attempt.progress import ProgressBuffer


class ResourceUsage:
    """Measures the process since the last call.

    Args:
        progress: of the attempt; it shows whether training has begun.
        clock, cpu_clock: seconds that have passed, and seconds that this process has computed.
    """

    def __init__(
        self,
        progress: ProgressBuffer,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._progress = progress
        self._clock, self._cpu_clock = clock, cpu_clock
        self._at, self._cpu = clock(), cpu_clock()
        self._gpus = [device.name.rpartition("physical_device:")[2] for device in _gpus()]

    def __call__(self) -> dict[str, Any]:
        """`memory_bytes` (resident), `cpu_cores` (in use since the last call), `devices`, and with GPUs
        `gpu_memory_bytes` (in use on all of them)."""
        at, cpu = self._clock(), self._cpu_clock()
        cores = (cpu - self._cpu) / max(at - self._at, 1e-3)
        self._at, self._cpu = at, cpu
        used: dict[str, Any] = {"memory_bytes": memory.resident_bytes(), "cpu_cores": round(cores, 2)}
        used["devices"] = self._gpus or ["CPU"]
        # Asking for a GPU's memory sets the GPU up, which an attempt that has not begun may want to do in its own way.
        if self._gpus and "first_step" in self._progress.values.get("timings", {}):
            used["gpu_memory_bytes"] = sum(
                int(tf.config.experimental.get_memory_info(name)["current"]) for name in self._gpus
            )
        return used


def _gpus() -> list[Any]:
    return list(tf.config.list_physical_devices("GPU"))
