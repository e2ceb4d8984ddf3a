from __future__ import annotations

import time

import pytest
import tensorflow as tf

from workers.attempt import resource_usage
from workers.attempt.progress import ProgressBuffer
from workers.attempt.resource_usage import ResourceUsage


def test_cores_are_those_in_use_since_the_last_call() -> None:
    measure = ResourceUsage(ProgressBuffer())
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    busy = measure()
    time.sleep(0.3)
    idle = measure()
    assert busy["cpu_cores"] > 2 * idle["cpu_cores"]
    assert busy["memory_bytes"] > 2**20
    assert busy["devices"] == ["CPU"]
    assert "gpu_memory_bytes" not in busy


def test_memory_of_gpus_is_asked_for_once_the_attempt_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    device = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(resource_usage, "_gpus", lambda: [device])
    monkeypatch.setattr(tf.config.experimental, "get_memory_info", lambda name: {"current": 7, "of": name})
    progress = ProgressBuffer()
    measure = ResourceUsage(progress)
    assert "gpu_memory_bytes" not in measure()
    progress.update(timings={"first_step": 0.5})
    assert (measure()["devices"], measure()["gpu_memory_bytes"]) == (["GPU:0"], 7)
