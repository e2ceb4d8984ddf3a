from __future__ import annotations

import pytest
import tensorflow as tf

from tests.fakes import ManualClock
from workers.attempt import resource_usage
from workers.attempt.progress import ProgressBuffer
from workers.attempt.resource_usage import ResourceUsage


def test_cores_are_those_in_use_since_the_last_call() -> None:
    clock, cpu = ManualClock(), ManualClock()
    measure = ResourceUsage(ProgressBuffer(), clock=clock, cpu_clock=cpu)
    clock.advance(2.0)
    cpu.advance(3.0)
    busy = measure()
    clock.advance(4.0)
    cpu.advance(1.0)
    idle = measure()
    assert (busy["cpu_cores"], idle["cpu_cores"]) == (1.5, 0.25)
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
