"""Which species is a penguin? Written for TensorFlow 2.x with tf.estimator.

python train.py STEPS    trains on from the newest checkpoint in model/, then evaluates; 0 steps: evaluates only
"""

import csv
import sys

import tensorflow as tf

ISLANDS = ["Biscoe", "Dream", "Torgersen"]
SEXES = ["female", "male", "NA"]
SPECIES = ["Adelie", "Chinstrap", "Gentoo"]
# mean and standard deviation
NUMBERS = {"bill_length_mm": (43.9, 5.46), "bill_depth_mm": (17.2, 1.97), "flipper_length_mm": (200.9, 14.1)}


def rows(evaluation):
    """Every fifth row is for evaluation."""
    with open("penguins.csv", newline="") as file:
        found = [row for row in csv.DictReader(file) if row["bill_length_mm"] != "NA"]
    found = [row for number, row in enumerate(found) if (number % 5 == 0) == evaluation]
    features = {name: [float(row[name]) for row in found] for name in NUMBERS}
    features.update({name: [row[name] for row in found] for name in ("island", "sex")})
    return features, [row["species"] for row in found]


def train_input():
    return tf.data.Dataset.from_tensor_slices(rows(False)).shuffle(1000, seed=1).repeat().batch(32)


def eval_input():
    return tf.data.Dataset.from_tensor_slices(rows(True)).batch(32)


def scaled(mean, deviation):
    return lambda x: (x - mean) / deviation


def column(name, words):
    return tf.feature_column.categorical_column_with_vocabulary_list(name, words)


classifier = tf.estimator.DNNClassifier(
    hidden_units=[16, 8],
    feature_columns=[
        *[tf.feature_column.numeric_column(name, normalizer_fn=scaled(*NUMBERS[name])) for name in NUMBERS],
        tf.feature_column.indicator_column(column("island", ISLANDS)),
        tf.feature_column.embedding_column(column("sex", SEXES), dimension=2),
    ],
    n_classes=3,
    label_vocabulary=SPECIES,
    optimizer=tf.keras.optimizers.legacy.Adagrad(learning_rate=0.05),
    config=tf.estimator.RunConfig("model", tf_random_seed=1, keep_checkpoint_max=1),
)
if steps := int(sys.argv[1]):
    classifier.train(train_input, steps=steps)
metrics = classifier.evaluate(eval_input)
print("step {global_step}: accuracy {accuracy:.3f}, average loss {average_loss:.4f}".format(**metrics))
