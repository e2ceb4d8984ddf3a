"""Habits of old programs: `None` for labels, a model_fn that reads what changes between calls, summed gradients."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .models import Notes, X, line, line_model, make, rows, v1, variables
from .registry import program

THEME = "habits"


def _loss(features: Any, labels: Any) -> Any:
    return tf.reduce_mean((line(features)[0] - labels) ** 2)


@program(THEME)
def no_labels_beside_tensors(est: Any, directory: str) -> Any:
    estimator = make(est, directory).train(rows(), steps=1)
    return next(estimator.predict(lambda: ({"x": tf.constant(X)}, None)))


@program(THEME)
def no_labels_in_a_dataset(est: Any, directory: str) -> Any:
    estimator = make(est, directory).train(rows(), steps=1)
    return next(
        estimator.predict(lambda: tf.data.Dataset.from_tensor_slices({"x": X}).map(lambda x: (x, None)).batch(2))
    )


@program(THEME)
def no_labels_in_training(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        loss = _loss(features, 1.0)
        train_op = v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_global_step())
        metrics = {"none": v1.metrics.mean(float(labels is None))}
        return est.EstimatorSpec(mode, loss=loss, train_op=train_op, eval_metric_ops=metrics)

    estimator = make(est, directory, model_fn)
    estimator.train(lambda: ({"x": tf.constant(X)}, None), steps=2)
    return variables(estimator), estimator.evaluate(lambda: ({"x": tf.constant(X)}, None), steps=1)


@program(THEME)
def no_features(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        loss = (v1.get_variable("w", [], initializer=v1.zeros_initializer()) - 1) ** 2
        train_op = v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_global_step())
        return est.EstimatorSpec(mode, loss=loss, train_op=train_op)

    return variables(make(est, directory, model_fn).train(lambda: ({}, None), steps=2))


@program(THEME)
def rate_changed_between_trainings(est: Any, directory: str) -> Any:
    rate = [0.1]
    optimizer = lambda: v1.train.GradientDescentOptimizer(rate[0])
    estimator = make(est, directory, line_model(est, optimizer))
    seen = []
    for new in (0.1, 0.0, 0.2):
        rate[0] = new
        seen.append(variables(estimator.train(rows(), steps=1)))
    return seen


@program(THEME)
def rate_of_a_canned_estimator_changed(est: Any, directory: str) -> Any:
    from .canned import AGE, REAL, age
    from .models import QUIET, FixedStart, once, sgd

    rate = [0.1]
    config = est.RunConfig(**QUIET)
    made = est.LinearRegressor([age()], directory, config=config, optimizer=lambda: sgd(rate[0]))
    made.train(once({"age": AGE}, REAL), steps=1, hooks=[FixedStart()])
    rate[0] = 0.0
    before = made.get_variable_value("linear/linear_model/age/weights")
    after = made.train(once({"age": AGE}, REAL), steps=1).get_variable_value("linear/linear_model/age/weights")
    return before, after


@program(THEME)
def prediction_changed_between_calls(est: Any, directory: str) -> Any:
    factor = [1.0]

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        return est.EstimatorSpec(mode, predictions=line(features)[0] + factor[0])

    estimator = make(est, directory, line_model(est)).train(rows(), steps=1)
    second = make(est, directory, model_fn)
    first = next(second.predict(rows()))
    factor[0] = 5.0
    return first, next(second.predict(rows())), estimator.evaluate(rows(), steps=1)


@program(THEME)
def calls_of_the_model_fn(est: Any, directory: str) -> Any:
    calls: list[str] = []
    inner = line_model(est)

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        calls.append(mode)
        return inner(features, labels, mode)

    estimator = make(est, directory, model_fn)
    for _ in range(2):
        estimator.train(rows(), steps=1)
        estimator.evaluate(rows(), steps=1)
        next(estimator.predict(rows()))
    return calls


@program(THEME)
def stop_hook_of_the_models_own(est: Any, directory: str) -> Any:
    hooks = lambda *_: {"training_hooks": [v1.train.StopAtStepHook(num_steps=2)]}
    estimator = make(est, directory, line_model(est, train=hooks))
    return [int(variables(estimator.train(rows(), steps=9))["global_step"]) for _ in range(2)]


@program(THEME)
def order_of_hooks(est: Any, directory: str) -> Any:
    calls: list[Any] = []
    own = lambda *_: {
        "training_chief_hooks": [Notes(calls, "chief ")], "training_hooks": [Notes(calls, "own ")],
    }  # fmt: skip
    make(est, directory, line_model(est, train=own)).train(rows(), steps=2, hooks=[Notes(calls, "given ")])
    return calls


@program(THEME)
def synchronized_with_itself(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        loss = _loss(features, labels)
        optimizer = v1.train.SyncReplicasOptimizer(v1.train.GradientDescentOptimizer(0.1), 1, 1)
        train_op = optimizer.minimize(loss, v1.train.get_global_step())
        hooks = [optimizer.make_session_run_hook(True)]
        return est.EstimatorSpec(mode, loss=loss, train_op=train_op, training_hooks=hooks)

    found = variables(make(est, directory, model_fn).train(rows(), steps=2))
    # not the values: a thread applies an update while the next step may read, in TensorFlow 2.15 too
    return {"global_step": found["global_step"], "names": sorted(found)}


@program(THEME)
def gradients_of_two_batches(est: Any, directory: str) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        loss, step = _loss(features, labels), v1.train.get_global_step()
        optimizer = v1.train.GradientDescentOptimizer(0.1)
        pairs = optimizer.compute_gradients(loss)
        sums = [v1.get_variable(f"{v.op.name}_sum", v.shape, trainable=False, initializer=v1.zeros_initializer())
                for _, v in pairs]  # fmt: skip

        def apply() -> Any:
            with tf.control_dependencies([optimizer.apply_gradients(zip(sums, [v for _, v in pairs], strict=True))]):
                return tf.group(*[v1.assign(s, tf.zeros_like(s)) for s in sums])

        with tf.control_dependencies([v1.assign_add(s, g) for s, (g, _) in zip(sums, pairs, strict=True)]):
            applied = tf.cond(tf.equal(step % 2, 1), apply, tf.no_op)
        with tf.control_dependencies([applied]):
            return est.EstimatorSpec(mode, loss=loss, train_op=v1.assign_add(step, 1))

    return variables(make(est, directory, model_fn).train(rows(), steps=3))


@program(THEME)
def listener_adds_operations(est: Any, directory: str) -> Any:
    seen: list[float] = []

    class Look(v1.train.CheckpointSaverListener):  # type: ignore[misc, name-defined]
        def begin(self) -> None:
            (w,) = [v for v in v1.global_variables() if v.op.name == "w"]
            self.twice = w * 2

        def after_save(self, session: Any, global_step_value: int) -> None:
            seen.append(float(session.run(self.twice)))

    make(est, directory, config={"save_checkpoints_steps": 1}).train(rows(), steps=2, saving_listeners=[Look()])
    return seen


@program(THEME)
def started_from_a_checkpoint_in_the_model_fn(est: Any, directory: str) -> Any:
    make(est, directory).train(rows(), steps=3)
    inner = line_model(est)

    def model_fn(features: Any, labels: Any, mode: str) -> Any:
        spec = inner(features, labels, mode)
        v1.train.init_from_checkpoint(directory, {"w": "w"})
        return spec

    return variables(make(est, directory + "2", model_fn).train(rows(), steps=1))
