"""One process of a cluster, for `test_cluster.py`, which forks it from one that has imported this module."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf

import tf_estimator as est
from tf_estimator.distribution.peers import ClusterPeers

v1 = tf.compat.v1
ROWS, GLOBAL_BATCH, STEPS, MORE = 64, 16, 8, 14
RNG = np.random.default_rng(0)
FEATURES = {"x": RNG.normal(size=(ROWS, 4)).astype(np.float32), "w": RNG.integers(0, 7, ROWS)}


def model_fn(features, mode):
    """A linear model with a table, whose gradient has rows."""
    kernel, bias, table = (
        v1.get_variable(name, [size, 1]) for name, size in (("kernel", 4), ("bias", 1), ("table", 7))
    )
    loss = tf.reduce_mean(tf.square(features["x"] @ kernel + bias + tf.gather(table, features["w"]) - 1.0))
    optimizer = v1.train.MomentumOptimizer(0.1, 0.9)
    train_op = optimizer.minimize(loss, v1.train.get_global_step()) if mode == est.ModeKeys.TRAIN else None
    return est.EstimatorSpec(mode, loss=loss, train_op=train_op)


def make(model_dir, strategy=None) -> est.Estimator:
    config = est.RunConfig(tf_random_seed=1, train_distribute=strategy, save_checkpoints_steps=5, save_summary_steps=2)
    return est.Estimator(model_fn, model_dir, config)


def input_fn(input_context):
    size = input_context.get_per_replica_batch_size(GLOBAL_BATCH)
    rows = tf.data.Dataset.from_tensor_slices(FEATURES).batch(size)
    return rows.shard(input_context.num_input_pipelines, input_context.input_pipeline_id).repeat()


def columns(batch_size: int, seed: int | None):
    return est.inputs.columns_input_fn(FEATURES, batch_size=batch_size, shuffle=True, seed=seed)


class Dies(v1.train.SessionRunHook):
    """Ends its process, as a crash would, at the third step."""

    def begin(self):
        self.steps = 0

    def after_run(self, run_context, run_values):
        self.steps += 1
        if self.steps == 3:
            os._exit(9)


def train(model_dir, strategy) -> dict[str, object]:
    """Trainings of a chief and a worker, one after the other; the worker dies in the last."""
    make(model_dir, strategy).train(input_fn, max_steps=STEPS)
    estimator = make(model_dir, strategy)
    is_chief = estimator.config.is_chief
    # Each process draws a seed of its own: the chief's counts, which the position in the checkpoint tells.
    keep = est.hooks.KeepInputPosition()
    estimator.train(columns(GLOBAL_BATCH // 2, None), max_steps=MORE, hooks=[keep])
    # Trained already, which only the chief can see.
    estimator.train(columns(GLOBAL_BATCH // 2, None), max_steps=MORE)
    found: dict[str, object] = {"kept": estimator.latest_checkpoint() or ""}
    found["different seeds"] = error_of(
        lambda: estimator.train(columns(GLOBAL_BATCH // 2, 3 + is_chief), max_steps=MORE + 1)
    )
    # The worker has fewer batches than the chief.
    estimator.train(lambda input_context: input_fn(input_context).take(20 if is_chief else 4))
    found["step at the end of the shorter input"] = int(estimator.get_variable_value("global_step")) if is_chief else 0
    found["dead worker"] = error_of(
        lambda: estimator.train(input_fn, hooks=[] if is_chief else [Dies()], max_steps=1000)
    )
    return found


def train_and_evaluate(model_dir, strategy) -> dict[str, object]:
    evaluation = est.EvalSpec(lambda: tf.data.Dataset.from_tensor_slices(FEATURES).batch(8), start_delay_secs=0,
                              throttle_secs=0)  # fmt: skip
    estimator, found, part = make(model_dir, strategy), {}, ClusterPeers.part

    def part_late(peers):
        """As if the chief had to wait for its share of the last values."""
        time.sleep(2.0 if peers.is_chief else 0.0)
        found["parts"] = time.monotonic()
        part(peers)

    with mock.patch.object(ClusterPeers, "part", part_late):
        est.train_and_evaluate(estimator, est.TrainSpec(input_fn, max_steps=STEPS), evaluation)
    return found | {"ended": time.monotonic()}


def error_of(call) -> str:
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def run(plan: str, model_dir: str, config: str, directory: str) -> None:
    """Writes a JSON object to the directory's file `found`, and what it prints to `log`.

    Args:
        config: the `TF_CONFIG`, which says which process of the cluster it is.
    """
    log = os.open(Path(directory, "log"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ["TF_CONFIG"] = config
    strategy = (
        None if json.loads(config)["task"]["type"] == "evaluator" else tf.distribute.MultiWorkerMirroredStrategy()
    )
    found = {"train": train, "train_and_evaluate": train_and_evaluate}[plan](model_dir, strategy)
    Path(directory, "found").write_text(json.dumps(found))
    if plan == "train":
        os._exit(0)  # TensorFlow would wait for the dead worker first.
