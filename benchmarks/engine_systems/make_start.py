"""Writes W1's starting checkpoint, name-based, as both engines read it."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
import w1


def main(directory: str) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = [tf.compat.v1.get_variable(n, initializer=tf.constant(v)) for n, v in w1.start_variables().items()]
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver(variables, save_relative_paths=True).save(
            session,
            f"{directory}/model.ckpt",
            0,
            write_meta_graph=False,
        )


main(sys.argv[1])
