"""Writes the starting checkpoint of a workload, name-based, as both libraries read it: `make_start.py WORKLOAD DIR`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import datasets
import tensorflow as tf
import workload

import tf_estimator as est
from tf_estimator.checkpoint import files
from tf_estimator.checkpoint.retention import Retention
from tf_estimator.optimizer import Adagrad


def main(name: str, directory: str) -> None:
    """One training step writes the initial values as step 0; they are what is kept."""
    work = workload.find(name)
    with tempfile.TemporaryDirectory() as scratch:
        config = est.RunConfig(tf_random_seed=21, checkpoint_save_graph_def=False)
        estimator = work.estimator(est, tf, model_dir=scratch, optimizer=Adagrad(work.rate, 0.1), config=config)
        features, labels = workload.head(*work.data(), work.batch)
        estimator.train(lambda: datasets.once(features, labels, work.batch), steps=1)
        values = files.CheckpointReader(f"{scratch}/model.ckpt-0")
        Path(directory).mkdir(parents=True, exist_ok=True)
        prefix = f"{directory}/model.ckpt-0"
        files.write(prefix, {n: tf.constant(values.value(n)) for n in values.shapes})
        Retention(directory).add(prefix)


main(sys.argv[1], sys.argv[2])
