"""A training that is killed at random moments ends as if nothing had happened: each loss, each variable, bit by bit.

To repeat a failure: `KILL_SEED=<the seed it printed> scripts/test tests/estimator/training/test_killed_training.py`.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tf_estimator.checkpoint import files

ROOT = Path(__file__).parents[3]


class Trainings:
    """The program `killed_training`; it imports TensorFlow once for all."""

    def __init__(self, log: Path) -> None:
        self._log = log.open("w+")
        command = [sys.executable, "-W", "ignore", "-m", "tests.estimator.killed_training"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )

    def run(self, **task: Any) -> dict[str, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, Path(self._log.name).read_text()[-3000:]
        done: dict[str, int] = json.loads(answer)
        return done

    def close(self) -> None:
        self._process.communicate()
        self._log.close()


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    made = Trainings(tmp_path_factory.mktemp("trainings") / "log")
    yield made
    made.close()


def losses(directory: Path) -> dict[int, set[str]]:
    """Step to the losses noted at it: more than one, where attempts did not agree."""
    found: dict[int, set[str]] = {}
    for line in (directory / "losses").read_text().splitlines():
        step, loss = line.split()
        found.setdefault(int(step), set()).add(loss)
    return found


@pytest.mark.parametrize(
    ("model", "steps", "kills"),
    [
        ("DNNClassifier", 320, 20),
        ("DNNClassifier in the loop", 120, 2),
        ("DNNClassifier on tf.data", 60, 2),
        ("DNNLinearCombinedClassifier", 60, 2),
        ("RNNClassifier", 60, 2),
    ],
)
def test_killed_training_equals_the_undisturbed_one(
    trainings: Trainings, tmp_path: Path, model: str, steps: int, kills: int
) -> None:
    seed = int(os.environ.get("KILL_SEED") or random.randrange(2**32))
    print(f"KILL_SEED={seed}")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    trainings.run(model=model, directory=str(whole), steps=steps, kills=0, seed=0)
    done = trainings.run(model=model, directory=str(killed), steps=steps, kills=kills, seed=seed)
    print(done)
    assert done["kills"] == kills
    assert done["attempts"] == kills + 1
    if kills >= 20:
        assert done["torn"] >= 5  # every fourth kill waits for a checkpoint that is being written
    undisturbed, seen = losses(whole), losses(killed)
    assert max(undisturbed) == steps
    assert {step: seen[step] for step in undisturbed} == undisturbed
    prefix, other = (files.latest(str(d / "model")) for d in (whole, killed))
    assert prefix is not None
    assert other is not None
    one, two = files.CheckpointReader(prefix), files.CheckpointReader(other)
    assert set(one.shapes) == set(two.shapes)
    for name in one.shapes:
        np.testing.assert_array_equal(one.value(name), two.value(name), err_msg=name)
    left = {path.name.split(".tmp-")[0] for path in (killed / "model").glob("*.tmp-*")}
    assert not left, "What a killed write left must go with the next attempt."
