"""How functions are made ready before they run."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tf_estimator.graph.function import call_once, optimization


def test_functions_are_optimized_in_one_round() -> None:
    config = tf.compat.v1.ConfigProto.FromString(optimization())

    assert config.graph_options.rewrite_options.meta_optimizer_iterations == 1
    assert {"function", "constfold", "remap"} <= set(config.graph_options.rewrite_options.optimizers)


@pytest.mark.parametrize("option", [{"constant_folding": False}, {"debug_stripper": True}])
def test_what_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch, option: dict[str, bool]) -> None:
    # Once set, an option can't be taken back in this process, where other tests run.
    chosen = {**tf.config.optimizer.get_experimental_options(), **option}
    monkeypatch.setattr(tf.config.optimizer, "get_experimental_options", lambda: chosen)

    assert optimization() == b""


def test_function_that_runs_once_does_what_it_does_otherwise() -> None:
    count = tf.Variable(1)

    @tf.function
    def twice(x: tf.Tensor) -> tf.Tensor:
        count.assign_add(1)
        return x * 2

    concrete = twice.get_concrete_function(tf.TensorSpec([], tf.int32))
    (result,) = call_once(concrete, [tf.constant(4), *concrete.captured_inputs])

    assert (int(result), int(count)) == (8, 2)
