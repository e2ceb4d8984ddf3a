"""`est.feature_column`: all that `tf.feature_column` has, without its advice to leave."""

from __future__ import annotations

import logging

import pytest
import tensorflow as tf

import tf_estimator as est

NAMES = [name for name in dir(tf.feature_column) if not name.startswith("_")]


@pytest.mark.parametrize("name", NAMES)
def test_every_function_is_the_one_of_tensorflow(name: str) -> None:
    ours = getattr(est.feature_column, name)

    assert getattr(tf.feature_column, name).__wrapped__ is ours
    assert name in est.feature_column.__all__


def test_columns_are_made_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="tensorflow"):
        number = est.feature_column.numeric_column("x")
        words = est.feature_column.categorical_column_with_vocabulary_list("w", ["a", "b"])
        columns = [
            est.feature_column.bucketized_column(number, [0.0, 1.0]),
            est.feature_column.embedding_column(words, 2),
            est.feature_column.indicator_column(words),
            est.feature_column.crossed_column(["a", "b"], 10),
        ]

    assert len(columns) == 4
    assert caplog.records == []
