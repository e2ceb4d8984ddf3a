"""Trainings on one device and on two, compared; a program, for logical devices are made before TensorFlow starts.

    python -m tests.estimator.two_devices DIRECTORY

prints one JSON object: a check's name to what it found, or to the error that it raised.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import tf_estimator as est  # first: so TensorFlow is imported in three quarters of the time

# isort: split
import numpy as np
import tensorflow as tf

from tf_estimator import inputs
from tf_estimator.inputs import windows

v1 = tf.compat.v1
ROWS, GLOBAL_BATCH = 64, 16
RNG = np.random.default_rng(0)
FEATURES = {
    "x": RNG.normal(size=(ROWS, 4)).astype(np.float32),
    "w": np.array([b"a", b"b", b"c", b"d", b"e"])[RNG.integers(0, 5, ROWS)],
}
LABELS = RNG.integers(0, 3, ROWS)
X = tf.feature_column.numeric_column("x", (4,))
W = tf.feature_column.categorical_column_with_hash_bucket("w", 7)
EMBEDDING = tf.feature_column.embedding_column(W, 3)
DIRECTORY = Path(sys.argv[1] if len(sys.argv) > 1 else ".")


def config(devices: int, **more: object) -> est.RunConfig:
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]) if devices == 2 else None
    return est.RunConfig(
        tf_random_seed=1,
        train_distribute=strategy,
        eval_distribute=strategy,
        save_summary_steps=None,
        checkpoint_save_graph_def=False,
        **more,
    )


def batches(devices: int):
    """Each replica gets batches of its own, together as big as one device's."""
    return lambda: tf.data.Dataset.from_tensor_slices((FEATURES, LABELS)).repeat().batch(GLOBAL_BATCH // devices)


def evaluation_batches():
    """Seven batches: too few for the last step of two."""
    return tf.data.Dataset.from_tensor_slices((FEATURES, LABELS)).batch(8).take(7)


def values(estimator: est.Estimator) -> dict[str, np.ndarray]:
    return {name: estimator.get_variable_value(name) for name in estimator.get_variable_names()}


def difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The largest difference between variables of the same names, relative above 0.01."""
    assert set(one) == set(other), sorted(set(one) ^ set(other))
    numbers = [name for name in one if np.issubdtype(one[name].dtype, np.number)]
    return max(float(np.max(np.abs(one[n] - other[n]) / (np.abs(one[n]) + 0.01))) for n in numbers)


def compared(make) -> dict[str, object]:
    """Trains `make(model_dir, config)` on one device and on two, and evaluates both."""
    found = []
    for devices in (1, 2):
        directory = DIRECTORY / f"{make.__name__}-{devices}"
        estimator = make(str(directory), config(devices)).train(batches(devices), steps=7)
        metrics = estimator.evaluate(evaluation_batches) if make.__name__ in EVALUATED else {"global_step": 7}
        found.append((values(estimator), metrics))
    (one, here), (two, there) = found
    reader = tf.train.load_checkpoint(str(directory / "model.ckpt-0"))
    return {
        "difference": difference(one, two),
        "change": difference({name: reader.get_tensor(name) for name in one}, one),
        "metrics": max(abs(float(here[key]) - float(there[key])) for key in here),
        "step": int(there["global_step"]),
    }


def classifier(optimizer, **more):
    return lambda directory, config: est.DNNClassifier(
        [8], [X, EMBEDDING], directory, n_classes=3, optimizer=optimizer, config=config, **more
    )


def model(optimize, *, normalize=None, loss_of=None):
    """A model_fn with a layer of Keras in the middle; `optimize(loss)` gives its train_op."""

    def model_fn(features, labels, mode):
        net = tf.keras.layers.Dense(6, kernel_initializer=tf.keras.initializers.GlorotUniform(3))(features["x"])
        if normalize is not None:
            layer = tf.keras.layers.BatchNormalization(momentum=0.9, synchronized=normalize == "synchronized")
            net = layer(net, training=mode == est.ModeKeys.TRAIN)
        kernel = v1.get_variable("out", [6, 3], initializer=v1.glorot_uniform_initializer(4))
        logits = tf.nn.relu(net) @ kernel
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        loss = tf.reduce_mean(losses) if loss_of is None else loss_of(losses)
        if mode == est.ModeKeys.EVAL:
            score = tf.nn.softmax(logits)[:, 1]
            keras = tf.keras.metrics.SparseCategoricalAccuracy()
            keras.update_state(labels, logits)
            metrics = {
                "accuracy": v1.metrics.accuracy(labels, tf.argmax(logits, 1)),
                "auc": v1.metrics.auc(tf.equal(labels, 1), score),
                "keras": keras,
            }
            return est.EstimatorSpec(mode, loss=tf.reduce_mean(losses), eval_metric_ops=metrics)
        return est.EstimatorSpec(mode, loss=loss, train_op=optimize(loss))

    return lambda directory, config: est.Estimator(model_fn, directory, config)


def by_v1(make):
    return lambda loss: make().minimize(loss, global_step=v1.train.get_global_step())


def by_keras(make):
    def optimize(loss):
        variables = v1.trainable_variables()
        gradients = tf.gradients(loss, variables)
        make().apply_gradients(zip(gradients, variables, strict=True))
        return v1.train.get_global_step().assign_add(1)

    return optimize


def combined(directory, config):
    return est.DNNLinearCombinedClassifier(
        directory, [W], "Ftrl", [X, EMBEDDING], "Adagrad", [8], n_classes=3, config=config
    )


SAME = {
    "SGD": classifier("SGD"),
    "Adagrad": classifier("Adagrad"),
    "Adam": classifier("Adam"),
    "sum": classifier("SGD", loss_reduction="sum"),
    "Lion": classifier(lambda: tf.keras.optimizers.Lion(0.01)),
    "combined": combined,
    "v1 Momentum": model(by_v1(lambda: v1.train.MomentumOptimizer(0.1, 0.9))),
    "v1 losses sum": model(
        by_v1(lambda: v1.train.GradientDescentOptimizer(0.01)),
        loss_of=lambda losses: v1.losses.compute_weighted_loss(losses, reduction=v1.losses.Reduction.SUM),
    ),
    "Keras Adam": model(by_keras(lambda: tf.keras.optimizers.Adam(0.01))),
    "Keras Adam, scaled by model_fn": model(
        by_keras(lambda: tf.keras.optimizers.Adam(0.01)),
        loss_of=lambda losses: tf.reduce_mean(losses) / tf.distribute.get_strategy().num_replicas_in_sync,
    ),
    "synchronized normalization": model(
        by_v1(lambda: v1.train.GradientDescentOptimizer(0.1)), normalize="synchronized"
    ),
}
EVALUATED = {"Adam", "Keras Adam"}


def check_normalization():
    """Replicas normalize by their own batch; the averages that a checkpoint holds are those of all."""
    make = model(by_v1(lambda: v1.train.GradientDescentOptimizer(0.0)), normalize="own")
    moving = []
    for devices in (1, 2):
        estimator = make(str(DIRECTORY / f"normalization-{devices}"), config(devices))
        estimator.train(batches(devices), steps=3)
        moving.append(estimator.get_variable_value("batch_normalization/moving_mean"))
        variance = estimator.get_variable_value("batch_normalization/moving_variance")
    return {"means": float(np.max(np.abs(moving[0] - moving[1]))), "moved": float(np.max(np.abs(variance - 1)))}


def check_columns():
    """Batches out of columns, and the canned normalization, many steps per call."""
    found = []
    for devices in (1, 2):
        source = inputs.columns_input_fn(FEATURES, LABELS, batch_size=GLOBAL_BATCH // devices, shuffle=True, seed=3)
        estimator = classifier("Adagrad")(str(DIRECTORY / f"columns-{devices}"), config(devices))
        estimator.train(source, max_steps=30)
        found.append(values(estimator))
    return {"difference": difference(*found)}


class EachStep(v1.train.SessionRunHook):
    """Makes each step a call of its own."""

    def before_run(self, run_context):
        return v1.train.SessionRunArgs(v1.train.get_global_step())


def check_columns_with_a_hook():
    """Batches whose step spans two windows of the order, which are held before it, among steps that take their own."""
    rows = windows.ORDER_ROWS
    found = []
    for devices in (1, 2):
        windows.ORDER_ROWS = 40 if devices == 2 else rows  # five batches of a replica, so every third step
        source = inputs.columns_input_fn(FEATURES, LABELS, batch_size=GLOBAL_BATCH // devices, shuffle=True, seed=3)
        estimator = classifier("Adagrad")(str(DIRECTORY / f"hooked-columns-{devices}"), config(devices))
        estimator.train(source, max_steps=12, hooks=[EachStep()])
        found.append(values(estimator))
    windows.ORDER_ROWS = rows
    return {"difference": difference(*found)}


def check_continuity():
    """A training that goes from one device to two and back equals one that stays."""
    found = []
    for order in ((1, 1, 1), (1, 2, 1)):
        directory = str(DIRECTORY / f"over-{max(order)}")
        for number, devices in enumerate(order, 1):
            # Four steps are one epoch, so that another batch size, which starts the input anew, changes nothing.
            estimator = classifier("Adam")(directory, config(devices)).train(batches(devices), max_steps=4 * number)
        found.append(values(estimator))
    return {"difference": difference(*found)}


def check_resume():
    """Two runs of ten steps over one pass of the input equal one of twenty, bit for bit."""
    once = classifier("Adam")(str(DIRECTORY / "once"), config(2)).train(batches(2), max_steps=20)
    for steps in (10, 20):
        twice = classifier("Adam")(str(DIRECTORY / "twice"), config(2))
        twice.train(batches(2), max_steps=steps, hooks=[est.hooks.KeepInputPosition()])
    return {"difference": difference(values(once), values(twice))}


class Watcher(v1.train.SessionRunHook):
    """Notes the step and the loss at each step, and sets a variable of the model's in the middle."""

    def __init__(self):
        self.steps, self.losses = [], []

    def begin(self):
        graph = v1.get_default_graph()
        self.step = v1.train.get_global_step()
        self.loss = graph.get_collection(v1.GraphKeys.LOSSES)[0]
        self.out = next(v for v in v1.trainable_variables() if v.op.name == "out")
        self.zero = self.out.assign(tf.zeros_like(self.out)).op

    def before_run(self, run_context):
        return v1.train.SessionRunArgs([self.step, self.loss])

    def after_run(self, run_context, run_values):
        step, loss = run_values.results
        self.steps.append(int(step))
        self.losses.append(float(loss))
        if len(self.steps) == 3:
            run_context.session.run(self.zero)
        if len(self.steps) == 5:
            run_context.request_stop()


def check_hooks():
    found = []
    for devices in (1, 2):
        make = model(by_v1(lambda: v1.train.GradientDescentOptimizer(0.1)))
        watcher = Watcher()
        estimator = make(str(DIRECTORY / f"hooks-{devices}"), config(devices))
        estimator.train(batches(devices), hooks=[watcher], max_steps=50)
        found.append((watcher, values(estimator)))
    (one, here), (two, there) = found
    return {
        "steps": [one.steps, two.steps],
        "losses": max(abs(a - b) for a, b in zip(one.losses, two.losses, strict=True)),
        "difference": difference(here, there),
    }


def check_end():
    """Of seven batches the last one is too little for two replicas."""
    estimator = classifier("SGD")(str(DIRECTORY / "end"), config(2))
    estimator.train(lambda: tf.data.Dataset.from_tensor_slices((FEATURES, LABELS)).batch(8).take(7))
    return {"steps": int(estimator.get_variable_value("global_step"))}


def check_one_device():
    strategy = tf.distribute.OneDeviceStrategy("CPU:1")
    made = est.RunConfig(tf_random_seed=1, train_distribute=strategy)
    there = classifier("Adam")(str(DIRECTORY / "there"), made).train(batches(1), max_steps=7)
    here = classifier("Adam")(str(DIRECTORY / "Adam-1"), config(1))
    return {
        "difference": difference(values(here), values(there)),
        "device": made.train_distribute.extended.worker_devices,
    }


def check_context():
    """What input_fn and model_fn see."""
    seen = {}

    def input_fn(input_context):
        seen["input"] = [
            input_context.num_input_pipelines,
            input_context.input_pipeline_id,
            input_context.num_replicas_in_sync,
        ]
        return batches(2)()

    def model_fn(features, labels, mode):
        replica = tf.distribute.get_replica_context()
        seen["replicas"] = [replica.num_replicas_in_sync, tf.distribute.get_strategy().num_replicas_in_sync]
        number = tf.cast(replica.replica_id_in_sync_group, tf.float32) + 1.0
        weight = v1.get_variable("weight", [], initializer=v1.zeros_initializer())
        total = replica.all_reduce(tf.distribute.ReduceOp.SUM, number)
        mean = replica.all_reduce(tf.distribute.ReduceOp.MEAN, number)
        seen_sum = v1.get_variable("seen_sum", [2], initializer=v1.zeros_initializer(), trainable=False)
        with tf.control_dependencies([seen_sum.assign([total, mean])]):
            loss = weight * number
            train_op = by_v1(lambda: v1.train.GradientDescentOptimizer(1.0))(loss)
        return est.EstimatorSpec(mode, loss=loss, train_op=train_op)

    estimator = est.Estimator(model_fn, str(DIRECTORY / "context"), config(2)).train(input_fn, max_steps=1)
    seen["sum and mean"] = estimator.get_variable_value("seen_sum").tolist()
    seen["weight"] = float(estimator.get_variable_value("weight"))
    return seen


def check_refused_update():
    def model_fn(features, labels, mode):
        average = v1.get_variable("average", [4], initializer=v1.zeros_initializer(), trainable=False)
        weight = v1.get_variable("weight", [4], initializer=v1.zeros_initializer())
        loss = tf.reduce_mean(tf.square(features["x"] - weight))
        step = by_v1(lambda: v1.train.GradientDescentOptimizer(0.1))(loss)
        update = average.assign_add(tf.reduce_mean(features["x"], 0))
        return est.EstimatorSpec(mode, loss=loss, train_op=tf.group(step, update))

    est.Estimator(model_fn, str(DIRECTORY / "refused"), config(2)).train(batches(2), max_steps=1)


def check_refused_branch():
    def model_fn(features, labels, mode):
        weight = v1.get_variable("weight", [4], initializer=v1.zeros_initializer())
        loss = tf.reduce_mean(tf.square(features["x"] - weight))
        step = v1.train.get_global_step()
        optimize = by_v1(lambda: v1.train.GradientDescentOptimizer(0.1))
        return est.EstimatorSpec(
            mode, loss=loss, train_op=tf.cond(step < 2, lambda: tf.group(optimize(loss)), lambda: tf.no_op())
        )

    est.Estimator(model_fn, str(DIRECTORY / "branch"), config(2)).train(batches(2), max_steps=1)


def check_refused_metric():
    def model_fn(features, labels, mode):
        largest = v1.get_local_variable("largest", [], initializer=v1.zeros_initializer(), use_resource=True)
        update = largest.assign(tf.maximum(largest, tf.reduce_max(features["x"])))
        metrics = {"largest": (largest.read_value(), update)}
        return est.EstimatorSpec(mode, loss=tf.reduce_mean(features["x"]), eval_metric_ops=metrics)

    est.Estimator(model_fn, str(DIRECTORY / "metric"), config(2)).evaluate(evaluation_batches)


def check_refused_tensors():
    def input_fn():
        return {"x": tf.constant(FEATURES["x"]), "w": tf.constant(FEATURES["w"])}, tf.constant(LABELS)

    classifier("SGD")(str(DIRECTORY / "tensors"), config(2)).train(input_fn, max_steps=1)


def check_refused_strategy():
    strategy = tf.distribute.experimental.CentralStorageStrategy(["CPU:0", "CPU:1"])
    classifier("SGD")(str(DIRECTORY / "central"), est.RunConfig(train_distribute=strategy))


def outcome(check):
    try:
        return check()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    found = {}
    for name, make in SAME.items():
        make.__name__ = name
        found[name] = outcome(lambda make=make: compared(make))
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            found[name.removeprefix("check_")] = outcome(check)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
