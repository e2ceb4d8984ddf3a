"""A process that lives longer than what it held gives the memory back."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from app.process import SYSTEM_ALLOCATOR

_HOLD_AND_LET_GO = """
import os
from pathlib import Path
import tf_estimator  # imports TensorFlow in three quarters of the time
import tensorflow as tf
from app.process import give_memory_back

def private():
    fields = Path("/proc/self/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")

tf.constant(0.0)
give_memory_back()
before = private()
tensor = tf.fill([2**24], 1.0)
held = private()
del tensor
give_memory_back()
print(held - before, private() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_tensors_memory_goes_back_to_the_system() -> None:
    environment = {**os.environ, **SYSTEM_ALLOCATOR, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", _HOLD_AND_LET_GO]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    held, kept = map(int, printed.split())
    assert held > 60e6
    assert kept < 4e6
