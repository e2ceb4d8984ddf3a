"""Optimizers: formulas worked out by hand, names in checkpoints, and every way to name one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tf_estimator.optimizer import GraphOptimizer, resolve_optimizer

v1 = tf.compat.v1
K = tf.keras.optimizers


def _train(optimizer, steps=1, sparse=False, start=(1.0, -2.0, 4.0)):
    """Minimizes w² (or, sparse, the squares of rows 0, 2 and 0 again); returns the variables by name."""
    with tf.Graph().as_default():
        step = v1.train.get_or_create_global_step()
        w = v1.get_variable("w", initializer=tf.constant(start))
        loss = tf.reduce_sum(tf.square(tf.gather(w, [0, 2, 0]) if sparse else w))
        op = resolve_optimizer(optimizer).minimize(loss, [w], step)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            for _ in range(steps):
                session.run(op)
            return {v.op.name: session.run(v) for v in v1.global_variables()}


def _eager(optimizer, steps, start=(1.0, -2.0, 4.0)):
    w = tf.Variable(start)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(w))
        optimizer.apply_gradients(zip(tape.gradient(loss, [w]), [w], strict=True))
    return w.numpy()


def test_sgd_steps_down_the_gradient():
    # Gradient 2w, rate 0.01: w (1 - 0.02).
    np.testing.assert_allclose(_train("SGD")["w"], np.array([1, -2, 4]) * 0.98, rtol=1e-6)


def test_adagrad_divides_by_the_accumulator():
    values = _train("Adagrad")
    # a = 0.1 + g², g = 2w; w -= 0.001 g / √a.
    w = np.array([1.0, -2.0, 4.0])
    np.testing.assert_allclose(values["training/Adagrad/w/accumulator"], 0.1 + 4 * w**2, rtol=1e-6)
    np.testing.assert_allclose(values["w"], w - 0.001 * 2 * w / np.sqrt(0.1 + 4 * w**2), rtol=1e-6)


def test_first_adam_step_is_the_rate():
    # m/(1-β₁) = g and √(v/(1-β₂)) = |g|: each weight moves by 0.001 towards 0.
    np.testing.assert_allclose(_train("Adam")["w"], [0.999, -1.999, 3.999], rtol=1e-5)


def test_sparse_gradients_sum_rows_that_come_twice():
    # Row 0 comes twice: gradient 4w = 4; row 2 once: 2w = 8; row 1 not at all. Adagrad: 0.001 g/√(0.1 + g²).
    expected = [1 - 0.001 * 4 / np.sqrt(16.1), -2.0, 4 - 0.001 * 8 / np.sqrt(64.1)]
    np.testing.assert_allclose(_train("Adagrad", sparse=True)["w"], expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad", "RMSProp", "Ftrl", "Adamax", "Nadam", "Adadelta"])
def test_sparse_and_dense_updates_agree_on_the_rows_with_gradients(name):
    # Twice the same row is gradient 4w there; a dense loss with the same gradient moves row 0 by the same.
    sparse = _train(name, steps=3, sparse=True)["w"]
    with tf.Graph().as_default():
        step = v1.train.get_or_create_global_step()
        w = v1.get_variable("w", initializer=tf.constant([1.0, -2.0, 4.0]))
        loss = tf.reduce_sum(tf.square(w) * [2.0, 0.0, 1.0])
        op = resolve_optimizer(name).minimize(loss, [w], step)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            for _ in range(3):
                session.run(op)
            dense = session.run(w)
    np.testing.assert_allclose(sparse[[0, 2]], dense[[0, 2]], rtol=1e-5)  # dense Ftrl moves row 1 without a gradient


@pytest.mark.parametrize(
    "make",
    [
        lambda: K.SGD(0.1),
        lambda: K.SGD(0.1, momentum=0.9),
        lambda: K.SGD(0.1, momentum=0.9, nesterov=True),
        lambda: K.Adam(0.1),
        lambda: K.Adam(0.1, amsgrad=True),
        lambda: K.Adagrad(0.1),
        lambda: K.RMSprop(0.1),
        lambda: K.Ftrl(0.1, l1_regularization_strength=0.01),
        lambda: K.Adamax(0.1),
        lambda: K.Adadelta(0.1),
        lambda: K.Adam(K.schedules.ExponentialDecay(0.1, 2, 0.5)),
        lambda: K.SGD(0.1, clipnorm=1.0),
        lambda: K.SGD(0.1, clipvalue=1.0),
        lambda: K.SGD(0.1, global_clipnorm=1.0),
        lambda: K.AdamW(0.1),
        lambda: K.Lion(0.1),
        lambda: K.SGD(0.1, use_ema=True),
        lambda: K.Adam(0.1, weight_decay=0.1),
    ],
    ids=lambda make: "",
)
def test_keras_optimizers_do_what_they_do_eagerly(make):
    np.testing.assert_allclose(_train(make(), steps=4)["w"], _eager(make(), 4), rtol=1e-4)


def test_known_keras_optimizers_take_the_old_names():
    names = set(_train(K.Adam(0.1)))
    hypers = {f"training/Adam/{key}" for key in ("learning_rate", "beta_1", "beta_2", "decay")}
    assert names == {"global_step", "w", "training/Adam/w/m", "training/Adam/w/v"} | hypers


@pytest.mark.parametrize("made_in_the_graph", [True, False])
def test_callable_may_use_the_global_step_in_the_graph(made_in_the_graph):
    def make():
        rate = v1.train.exponential_decay(0.1, v1.train.get_global_step(), decay_steps=1, decay_rate=0.5)
        return K.SGD(learning_rate=rate) if made_in_the_graph else v1.train.GradientDescentOptimizer(rate)

    # Rates 0.1 and 0.05: w (1 - 0.2) (1 - 0.1).
    values = _train(make, steps=2)
    np.testing.assert_allclose(values["w"], np.array([1, -2, 4]) * 0.8 * 0.9, rtol=1e-5)
    assert values["global_step"] == 2
    assert not [name for name in values if "iteration" in name]


def test_v1_proximal_adagrad_shrinks_weights():
    optimizer = v1.train.ProximalAdagradOptimizer(learning_rate=0.1, l1_regularization_strength=1000.0)
    # The L1 step 0.1 * 1000 / √(0.1 + g²) is at least 100 / 8.01 = 12.5, longer than any weight: all become 0.
    values = _train(optimizer)
    np.testing.assert_array_equal(values["w"], [0.0, 0.0, 0.0])
    assert "w/ProximalAdagrad" in values


def test_two_optimizers_of_one_kind_keep_their_own_variables():
    with tf.Graph().as_default():
        loss = tf.square(v1.get_variable("a", initializer=1.0)) + tf.square(v1.get_variable("b", initializer=1.0))
        a, b = v1.trainable_variables()
        resolve_optimizer("SGD", 0.5).minimize(loss, [a], v1.train.get_or_create_global_step())
        resolve_optimizer("SGD", 0.1).minimize(loss, [b])
        names = {v.op.name for v in v1.global_variables()}
    assert {"training/SGD/learning_rate", "training/SGD_1/learning_rate", "training/SGD_1/iter"} <= names


def test_decay_lowers_the_rate():
    optimizer = resolve_optimizer("SGD").__class__(0.1, decay=1.0)
    # Rates 0.1 / 1 and 0.1 / 2.
    np.testing.assert_allclose(_train(optimizer, steps=2)["w"], np.array([1, -2, 4]) * 0.8 * 0.9, rtol=1e-6)


@pytest.mark.parametrize("name", ["Adagrad", "AdagradOptimizer", "RMSprop", "RMSProp", "GradientDescentOptimizer"])
def test_old_and_new_names_are_known(name):
    assert isinstance(resolve_optimizer(name), GraphOptimizer)


@pytest.mark.parametrize(
    ("optimizer", "match"),
    [("Adagard", "Supported names are"), (3, "not an optimizer"), (None, "not an optimizer")],
)
def test_unknown_optimizers_are_refused(optimizer, match):
    with pytest.raises(ValueError, match=match):
        resolve_optimizer(optimizer)


def test_loss_without_variables_is_refused():
    with tf.Graph().as_default():
        w = v1.get_variable("w", initializer=1.0)
        with pytest.raises(ValueError, match="no variables to train"):
            resolve_optimizer("SGD").minimize(w * 1.0, [])
        with pytest.raises(ValueError, match="depends on none"):
            resolve_optimizer("SGD").minimize(tf.constant(1.0), [w])
