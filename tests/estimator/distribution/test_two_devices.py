"""Training and evaluating on two logical devices against one; see `two_devices.py`, which does the work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.estimator.two_devices import SAME

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    command = [sys.executable, "-m", "tests.estimator.two_devices", str(tmp_path_factory.mktemp("two"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", SAME)
def test_two_devices_equal_one(found, name):
    got = found[name]
    assert got["step"] == 7
    assert got["change"] > 0.01, got
    assert got["difference"] < 1e-5, got
    assert got["metrics"] < 1e-6, got


def test_moving_averages_are_those_of_all_replicas(found):
    assert found["normalization"]["means"] < 1e-6
    assert found["normalization"]["moved"] > 0.01


def test_columns_and_many_steps_per_call(found):
    assert found["columns"]["difference"] < 1e-5


def test_steps_that_hold_their_batches_mix_with_others(found):
    assert found["columns_with_a_hook"].get("difference", found) < 1e-5


def test_a_training_can_change_the_number_of_devices(found):
    assert found["continuity"]["difference"] < 1e-5


def test_resume_is_exact(found):
    assert found["resume"] == {"difference": 0.0}


def test_hooks_see_each_step_and_change_all_replicas(found):
    one, two = found["hooks"]["steps"]
    assert one == two and len(two) == 5
    assert found["hooks"]["losses"] < 1e-5
    assert found["hooks"]["difference"] < 1e-5


def test_a_step_needs_a_batch_for_each_replica(found):
    assert found["end"] == {"steps": 3}


def test_one_device_strategy(found):
    assert found["one_device"]["difference"] < 1e-6
    assert found["one_device"]["device"][0].endswith("CPU:1")


def test_what_input_fn_and_model_fn_see(found):
    got = found["context"]
    assert got["input"] == [1, 0, 2]
    assert got["replicas"] == [2, 2]
    assert got["sum and mean"] == [3.0, 1.5]
    assert got["weight"] == -1.5  # the mean of the gradients 1 and 2


@pytest.mark.parametrize(
    ("check", "error", "says"),
    [
        ("refused_update", "ValueError", "'average'"),
        ("refused_branch", "ValueError", "tf.cond"),
        ("refused_metric", "ValueError", "'largest'"),
        ("refused_tensors", "ValueError", "tf.data.Dataset"),
        ("refused_strategy", "ValueError", "MirroredStrategy"),
    ],
)
def test_what_can_not_be_done_is_refused(found, check, error, says):
    assert found[check]["error"].startswith(error + ": ")
    assert says in found[check]["error"]
