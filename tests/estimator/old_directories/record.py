"""Makes the model directories beside it anew, with TensorFlow 2.15.1 and tensorflow-estimator 2.15.0:

python record.py OUTPUT_DIRECTORY
"""

import gzip
import shutil
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

fc = tf.feature_column
ROWS = 64
random = np.random.RandomState(0)
FEATURES = {
    "age": random.rand(ROWS, 1).astype(np.float32) * 80,
    "v": random.rand(ROWS, 3).astype(np.float32),
    "Hours per Week": random.rand(ROWS, 1).astype(np.float32),
    "occ": random.choice(list("abc"), (ROWS, 1)),
    "edu": random.choice(["hs", "ba", "ma"], (ROWS, 1)),
    "Marital Status": random.choice(list("abcd"), (ROWS, 1)),
    "k": random.randint(0, 6, (ROWS, 1)).astype(np.int64),
}
TWO, THREE, REAL = random.randint(0, 2, ROWS), random.randint(0, 3, ROWS), random.rand(ROWS).astype(np.float32)

age, v, hours = fc.numeric_column("age"), fc.numeric_column("v", shape=(3,)), fc.numeric_column("Hours per Week")
occ = fc.categorical_column_with_hash_bucket("occ", 10)
edu = fc.categorical_column_with_vocabulary_list("edu", ["hs", "ba", "ma"])
status = fc.categorical_column_with_hash_bucket("Marital Status", 5)
k = fc.categorical_column_with_identity("k", 6)
ages = fc.bucketized_column(age, [20.0, 40.0, 60.0])
crossed = fc.crossed_column(["occ", "edu"], 16)
WIDE = [age, v, hours, ages, crossed, occ, edu, status, k]
DEEP = [age, v, ages, *map(fc.indicator_column, (crossed, edu, k)), fc.embedding_column(occ, 4, combiner="sum")]
SEQUENCE = [
    fc.embedding_column(fc.sequence_categorical_column_with_hash_bucket("tok", 20), 4),
    fc.sequence_numeric_column("s"),
]
CONTEXT = [age, fc.indicator_column(edu)]

v1, v2 = tf.compat.v1.estimator, tf.estimator
CASES = {
    "v1_linear_regressor": (lambda d: v1.LinearRegressor(WIDE, model_dir=d), REAL),
    "v2_linear_classifier": (lambda d: v2.LinearClassifier(WIDE, model_dir=d, n_classes=3), THREE),
    "v1_dnn_momentum": (
        lambda d: v1.DNNClassifier(
            [8, 4], DEEP, model_dir=d, batch_norm=True, optimizer=tf.compat.v1.train.MomentumOptimizer(0.01, 0.9)
        ),
        TWO,
    ),
    "v2_dnn_regressor": (lambda d: v2.DNNRegressor([8], DEEP, model_dir=d, optimizer="RMSProp"), REAL),
    "v1_wide_and_deep": (
        lambda d: v1.DNNLinearCombinedClassifier(
            d, linear_feature_columns=WIDE, dnn_feature_columns=DEEP, dnn_hidden_units=[8, 4]
        ),
        TWO,
    ),
    "v2_wide_and_deep": (
        lambda d: v2.DNNLinearCombinedClassifier(
            d, linear_feature_columns=WIDE, dnn_feature_columns=DEEP, dnn_hidden_units=[8, 4]
        ),
        TWO,
    ),
    "v1_baseline_regressor": (lambda d: v1.BaselineRegressor(d), REAL),
    "v2_poisson": (lambda d: v2.DNNEstimator(v2.PoissonRegressionHead(), [5], DEEP, model_dir=d), REAL),
    "v2_multi_label": (lambda d: v2.DNNEstimator(v2.MultiLabelHead(3), [5], DEEP, model_dir=d), np.eye(3)[THREE]),
    "v2_rnn": (
        lambda d: v2.experimental.RNNClassifier(
            SEQUENCE, context_feature_columns=CONTEXT, units=[6, 4], cell_type="lstm", model_dir=d
        ),
        None,
    ),
}


def rows(label):
    def input_fn():
        if label is not None:
            return tf.data.Dataset.from_tensor_slices((dict(FEATURES), label)).batch(16).repeat()
        places = [[row, step] for row in range(16) for step in range(3)]
        features = {name: FEATURES[name][:16] for name in ("age", "edu")}
        features["tok"] = tf.SparseTensor(places, ["a"] * 48, [16, 3])
        features["s"] = tf.SparseTensor(places, np.ones(48, np.float32), [16, 3])
        return tf.data.Dataset.from_tensors((features, TWO[:16])).repeat()

    return input_fn


for name, (make, label) in CASES.items():
    directory = Path(sys.argv[1]) / name
    shutil.rmtree(directory, ignore_errors=True)
    make(str(directory)).train(rows(label), steps=3)
    graph = directory / "graph.pbtxt"
    with gzip.GzipFile(f"{graph}.gz", "wb", mtime=0) as packed:
        packed.write(graph.read_bytes())
    for path in directory.iterdir():
        if path.name.startswith(("model.ckpt-3.data", "model.ckpt-3.index")) or path.suffix == ".gz":
            continue
        path.unlink()
    (directory / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-3"\n')
