"""Work of a trainer before its first attempt, so that the attempt is spared it: libraries load, kernels register, the
engine traces and runs its first model."""

from __future__ import annotations

import logging
import tempfile

import numpy as np

import tf_estimator as est
from workers.estimator_json.build import estimator_from_json


def warm_up() -> None:
    """Trains a tiny model for some steps, in a temporary directory."""
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory(prefix="warm-up-") as directory:
            config = est.RunConfig(model_dir=directory, tf_random_seed=1, checkpoint_save_graph_def=False)
            words = est.inputs.Dictionary(np.array([0, 1] * 4, np.int32), np.array([b"a", b"b"], object))
            features = {"x": np.arange(8, dtype=np.float32), "w": words}
            column = {"type": "categorical_column_with_vocabulary_list", "key": "w", "vocabulary_list": ["a", "b"]}
            columns = [
                {"type": "numeric_column", "key": "x"},
                {"type": "indicator_column", "categorical_column": column},
            ]
            args = {
                "hidden_units": [2],
                "feature_columns": columns,
                "n_classes": 3,
                "label_vocabulary": ["a", "b", "c"],
            }
            estimator = estimator_from_json({"type": "DNNClassifier", "args": args}, config=config)
            input_fn = est.inputs.columns_input_fn(features, words, batch_size=4, shuffle=True, seed=1)
            estimator.train(input_fn, max_steps=4)
    finally:
        logging.disable(logging.NOTSET)
