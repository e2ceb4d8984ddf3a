"""Several processes that train together, on this machine; see `cluster_member.py`, which each of them runs."""

from __future__ import annotations

import json
import multiprocessing

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator import cluster_member
from tests.ports import free_port
from tf_estimator.checkpoint import input_position

FORKS = multiprocessing.get_context("forkserver")  # TensorFlow is imported once for all
FORKS.set_forkserver_preload(["pytest", cluster_member.__name__])


class Cluster:
    """A chief and a worker, each with a model directory of its own if the plan does not share the chief's."""

    def __init__(self, directory, plan, tasks=("chief", "worker")):
        addresses = [f"127.0.0.1:{port}" for port in (free_port(), free_port())]
        cluster = {"chief": addresses[:1], "worker": addresses[1:]}
        self.processes = {}
        for task in tasks:
            model_dir = directory / ("model" if task != "worker" else "model-of-worker")
            config = json.dumps({"cluster": cluster, "task": {"type": task, "index": 0}})
            own = directory / f"process-{task}"
            own.mkdir()
            process = FORKS.Process(target=cluster_member.run, args=(plan, str(model_dir), config, str(own)))
            process.start()
            self.processes[task] = process, own

    def results(self, *, dead=()):
        """What each process found; those in `dead` find nothing."""
        try:
            for process, _ in self.processes.values():
                process.join(200)
        finally:
            for process, _ in self.processes.values():
                process.kill()  # TensorFlow's clusters catch the gentler signal
                process.join()
        for task, (_, own) in self.processes.items():
            assert task in dead or (own / "found").exists(), f"{task}: {(own / 'log').read_text()[-3000:]}"
        return {
            task: json.loads((own / "found").read_text())
            for task, (_, own) in self.processes.items()
            if task not in dead
        }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The model directory, and what the chief found."""
    directory = tmp_path_factory.mktemp("cluster")
    return directory, Cluster(directory, "train").results(dead=("worker",))["chief"]


def test_two_processes_equal_one(trained, tmp_path):
    found = trained[1]
    assert found["kept"].endswith("model.ckpt-14")
    seed = int(input_position.read(found["kept"])["columns.seed"])
    alone = cluster_member.make(str(tmp_path)).train(cluster_member.input_fn, max_steps=cluster_member.STEPS)
    alone.train(cluster_member.columns(cluster_member.GLOBAL_BATCH, seed), max_steps=cluster_member.MORE)
    got = tf.train.load_checkpoint(found["kept"])
    assert set(got.get_variable_to_shape_map()) == set(alone.get_variable_names())
    for name in alone.get_variable_names():
        np.testing.assert_allclose(got.get_tensor(name), alone.get_variable_value(name), rtol=1e-5, atol=1e-6)


def test_only_the_chief_writes(trained):
    directory, _ = trained
    assert list((directory / "model").glob("events.*"))
    assert not (directory / "model-of-worker").exists()


def test_columns_must_be_the_same_everywhere(trained):
    assert trained[1]["different seeds"].startswith("ValueError: The processes of the cluster have different inputs")


def test_when_one_process_has_no_more_input_all_end(trained):
    assert trained[1]["step at the end of the shorter input"] == cluster_member.MORE + 4


def test_a_dead_worker_ends_the_training_with_a_clear_error(trained):
    assert trained[1]["dead worker"].startswith(
        "LostWorkerError: Training stopped because another of the 2 processes of the cluster died"
    )


def test_train_and_evaluate_with_an_evaluator(tmp_path):
    got = Cluster(tmp_path, "train_and_evaluate", tasks=("chief", "worker", "evaluator")).results()
    assert set(got) == {"chief", "worker", "evaluator"}
    assert got["worker"]["ended"] > got["chief"]["parts"]  # or the chief could find it dead
    assert not (tmp_path / "model-of-worker").exists()
    events = list((tmp_path / "model" / "eval").glob("events.*"))
    steps = {event.step for path in events for event in tf.compat.v1.train.summary_iterator(str(path))}
    assert cluster_member.STEPS in steps


@pytest.mark.parametrize("field", ["train_distribute", "eval_distribute"])
def test_only_known_strategies_are_taken(field):
    config = est.RunConfig(**{field: "two GPUs"})
    with pytest.raises(ValueError, match=f"{field} is 'two GPUs'; it must be a tf.distribute.MirroredStrategy"):
        est.Estimator(cluster_member.model_fn, config=config).evaluate(lambda: None)
