"""A small model in the style of TensorFlow 1, with everything that exports and hooks care about."""

from pathlib import Path

import numpy as np
import tensorflow as tf

import tf_estimator as est
from tf_estimator import export

v1 = tf.compat.v1
ROWS = 32


def model_fn(features, labels, mode, params):
    """Linear softmax over a numeric feature `x` of shape [2] and a word `w` looked up in a vocabulary file."""
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            params["vocabulary"],
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        num_oov_buckets=1,
    )
    with v1.variable_scope("small"):
        words = v1.get_variable("words", [4, 3], initializer=v1.random_normal_initializer(seed=1))
        kernel = v1.get_variable("kernel", [2, 3], initializer=v1.random_normal_initializer(seed=2))
    logits = features["x"] @ kernel + tf.gather(words, table.lookup(features["w"]))
    predictions = {"logits": logits, "class_ids": tf.argmax(logits, 1)}
    if mode == est.ModeKeys.PREDICT:
        scores = export.ClassificationOutput(scores=tf.nn.softmax(logits))
        outputs = {
            "serving_default": scores,
            "classification": scores,
            "regression": export.RegressionOutput(logits[:, :1]),
            "predict": export.PredictOutput(predictions),
        }
        return est.EstimatorSpec(mode, predictions=predictions, export_outputs=outputs)
    loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
    if mode == est.ModeKeys.EVAL:
        accuracy = v1.metrics.accuracy(labels, predictions["class_ids"])
        return est.EstimatorSpec(mode, predictions=predictions, loss=loss, eval_metric_ops={"accuracy": accuracy})
    v1.summary.scalar("mean_logit", tf.reduce_mean(logits))
    train_op = v1.train.AdagradOptimizer(0.1).minimize(loss, v1.train.get_global_step())
    return est.EstimatorSpec(mode, predictions=predictions, loss=loss, train_op=train_op)


def arrays():
    rng = np.random.default_rng(0)
    features = {
        "x": rng.normal(size=(ROWS, 2)).astype(np.float32),
        "w": rng.choice(np.array([b"a", b"b", b"c", b"other"]), ROWS),
    }
    labels = (features["x"][:, 0] > 0).astype(np.int64) + (features["w"] == b"a")
    return features, labels


def input_fn():
    return tf.data.Dataset.from_tensor_slices(arrays()).batch(8)


def endless_input_fn():
    return input_fn().repeat()


def make(directory: Path, **config):
    """An Estimator of the small model with its model directory and vocabulary below `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = directory / "words.txt"
    vocabulary.write_text("a\nb\nc\n")
    for unwanted in ("log_step_count_steps", "save_summary_steps"):
        config.setdefault(unwanted, None)
    config.setdefault("checkpoint_save_graph_def", False)
    run_config = est.RunConfig(model_dir=str(directory / "model"), tf_random_seed=7, **config)
    return est.Estimator(model_fn, config=run_config, params={"vocabulary": str(vocabulary)})


FEATURE_SPEC = {"x": tf.io.FixedLenFeature([2], tf.float32), "w": tf.io.FixedLenFeature([], tf.string)}


def serialized(features):
    """The rows as serialized `tf.Example`s."""
    rows = []
    for x, w in zip(features["x"], features["w"], strict=True):
        example = tf.train.Example()
        example.features.feature["x"].float_list.value.extend(x)
        example.features.feature["w"].bytes_list.value.append(w)
        rows.append(example.SerializeToString())
    return rows
