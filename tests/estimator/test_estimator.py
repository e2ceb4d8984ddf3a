"""Training, evaluation and prediction of a model that can be followed by hand."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.linear_model import X, Y, by_hand, make, model_fn, rows
from tf_estimator.loop.functions import MultiStep
from tf_estimator.training import run as training

v1 = tf.compat.v1


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> est.Estimator:
    return make(tmp_path_factory.mktemp("trained")).train(rows(), steps=30)


def test_train_follows_gradient_descent(trained: est.Estimator) -> None:
    np.testing.assert_allclose(trained.get_variable_value("w"), by_hand(30), rtol=1e-4, atol=1e-6)
    assert trained.get_variable_value("global_step:0") == 30
    assert trained.get_variable_names() == ["global_step", "w"]
    assert trained.latest_checkpoint() == f"{trained.model_dir}/model.ckpt-30"


def test_evaluate_means_over_batches(trained: est.Estimator) -> None:
    w = trained.get_variable_value("w")
    errors = X @ w - Y
    # 64 rows in batches of 24, 24, 16: the loss is the plain mean of three batch losses, the metric that of all rows.
    losses = [np.mean(errors[a:b] ** 2) for a, b in ((0, 24), (24, 48), (48, 64))]
    result = trained.evaluate(rows(1, 24))
    assert result["loss"] == pytest.approx(np.mean(losses), rel=1e-3)
    assert result["mae"] == pytest.approx(np.mean(np.abs(errors)), rel=1e-3)
    assert result["global_step"] == 30
    assert trained.evaluate(rows(1, 24), steps=1)["loss"] == pytest.approx(losses[0], rel=1e-3)
    assert trained.evaluate(rows(1, 24)) == result


def test_evaluate_writes_summaries_that_tensorboard_reads(trained: est.Estimator) -> None:
    trained.evaluate(rows(1), name="holdout")
    files = sorted(Path(trained.eval_dir("holdout")).glob("events.out.tfevents.*"))
    values = {
        value.tag: value
        for event in v1.train.summary_iterator(str(files[-1]))
        for value in event.summary.value
        if event.step == 30
    }
    assert set(values) == {"loss", "mae", "checkpoint_path"}
    assert tf.make_ndarray(values["checkpoint_path"].tensor) == trained.latest_checkpoint().encode()
    assert trained.eval_dir() == f"{trained.model_dir}/eval"
    assert trained.eval_dir("holdout") == f"{trained.model_dir}/eval_holdout"


def test_train_writes_loss_and_rate_summaries(tmp_path: Path) -> None:
    make(tmp_path, save_summary_steps=10, log_step_count_steps=10).train(rows(), steps=25)
    tags: dict[str, list[int]] = {}
    for file in tmp_path.glob("events.out.tfevents.*"):
        for event in v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                tags.setdefault(value.tag, []).append(event.step)
    assert tags == {"loss": [1, 11, 21], "size": [1, 11, 21], "global_step/sec": [11, 21]}


def test_predict_yields_examples_and_batches(trained: est.Estimator) -> None:
    expected = X @ trained.get_variable_value("w")
    examples = list(trained.predict(rows(1)))
    np.testing.assert_allclose([e["y"] for e in examples], expected, rtol=1e-5)
    batches = list(trained.predict(rows(1, 40), predict_keys="twice", yield_single_examples=False))
    assert [sorted(b) for b in batches] == [["twice"], ["twice"]]
    np.testing.assert_allclose(np.concatenate([b["twice"] for b in batches]), 2 * expected, rtol=1e-5)


def test_predict_generators_interleave_and_keep_their_values(tmp_path: Path) -> None:
    estimator = make(tmp_path).train(rows(), steps=5)
    before = X @ estimator.get_variable_value("w")
    first = estimator.predict(rows(1, 4))
    values = [next(first)["y"]]
    estimator.train(rows(), steps=20)
    after = X @ estimator.get_variable_value("w")
    second = estimator.predict(rows(1, 4))
    old = estimator.predict(rows(1, 4), checkpoint_path=f"{tmp_path}/model.ckpt-5")
    for i in range(10):
        np.testing.assert_allclose(next(second)["y"], after[i], rtol=1e-5)
        np.testing.assert_allclose(next(old)["y"], before[i], rtol=1e-5)
        values.append(next(first)["y"])
    np.testing.assert_allclose(values, before[:11], rtol=1e-5)
    # The second training starts from the first batch on.
    expected = by_hand(20, w=by_hand(5))
    np.testing.assert_allclose(estimator.get_variable_value("w"), expected, rtol=1e-4, atol=1e-6)


def test_steps_add_up_and_max_steps_is_a_goal(tmp_path: Path) -> None:
    estimator = make(tmp_path)
    assert estimator.train(rows(), max_steps=8) is estimator
    estimator.train(rows(), steps=4)
    assert estimator.get_variable_value("global_step") == 12
    calls = []
    estimator.train(lambda: calls.append(1), max_steps=12)
    assert not calls
    estimator.train(rows(), max_steps=13)
    assert estimator.get_variable_value("global_step") == 13


def test_one_slow_call_does_not_leave_training_in_single_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    run = MultiStep.__call__

    def first_slow(repeated: MultiStep, steps: int, *rest: Any) -> Any:
        calls.append(steps)
        if len(calls) == 1:
            time.sleep(0.3)  # 32 steps at about 100 a second: not two of them fit a call of 0.01 s
        return run(repeated, steps, *rest)

    monkeypatch.setattr(MultiStep, "__call__", first_slow)
    monkeypatch.setattr(training, "CALL_SECONDS", 0.01)
    make(tmp_path).train(rows(), max_steps=200)
    assert len(calls) > 1


def test_train_ends_with_the_input(tmp_path: Path) -> None:
    estimator = make(tmp_path).train(rows(3))
    # 64 rows, batches of 16, three epochs: 12 steps.
    assert estimator.get_variable_value("global_step") == 12
    # A used-up input starts anew in the next call.
    assert estimator.train(rows(3)).get_variable_value("global_step") == 24


def test_a_second_estimator_continues_the_directory(tmp_path: Path) -> None:
    make(tmp_path, params={"optimizer": "adam"}).train(rows(), steps=20)
    split = make(tmp_path, params={"optimizer": "adam"}).train(rows(), steps=20)
    whole = make(tmp_path / "whole", params={"optimizer": "adam"}).train(rows(), steps=40)
    np.testing.assert_array_equal(split.get_variable_value("w"), whole.get_variable_value("w"))
    np.testing.assert_array_equal(split.get_variable_value("w/Adam_1"), whole.get_variable_value("w/Adam_1"))


def test_evaluate_and_predict_without_a_checkpoint_use_initial_values(tmp_path: Path) -> None:
    estimator = make(tmp_path / "never")
    # w is zero, so the loss is the mean of y².
    result = estimator.evaluate(rows(1, 64))
    assert result["loss"] == pytest.approx(np.mean(Y**2), rel=1e-3)
    assert result["global_step"] == 0
    assert next(estimator.predict(rows(1)))["y"] == 0
    for call in (lambda: estimator.get_variable_value("w"), estimator.get_variable_names):
        with pytest.raises(ValueError, match="Could not find a trained model"):
            call()
    assert estimator.latest_checkpoint() is None


def test_graph_of_a_restored_model_has_no_random_initial_values(tmp_path: Path) -> None:
    operations: list[str] = []

    def model(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        w = v1.get_variable("w", [3, 1], initializer=v1.glorot_uniform_initializer())
        operations[:] = [op.type for op in v1.get_default_graph().get_operations()]
        return est.EstimatorSpec(mode, predictions=features["x"] @ w)

    estimator = make(tmp_path, model=model)
    fresh = np.array(list(estimator.predict(rows(1))))
    assert "RandomUniform" in operations
    assert np.abs(fresh).max() > 0

    stepping = make(tmp_path)
    stepping.train(rows(), steps=3)
    restored = np.array(list(make(tmp_path, model=model).predict(rows(1))))
    assert "RandomUniform" not in operations
    np.testing.assert_allclose(restored, X @ stepping.get_variable_value("w"), rtol=1e-5)
    np.testing.assert_allclose(list(estimator.predict(rows(1))), restored)  # its first graph had initial values


def test_methods_work_inside_a_graph(trained: est.Estimator) -> None:
    with tf.Graph().as_default():
        assert trained.evaluate(rows(1))["global_step"] == 30
        assert next(trained.predict(rows(1)))["y"].shape == (1,)


def test_wrong_arguments_are_refused(trained: est.Estimator) -> None:
    with pytest.raises(ValueError, match="both steps and max_steps"):
        trained.train(rows(), steps=1, max_steps=1)
    for argument in ({"steps": 0}, {"max_steps": -1}):
        with pytest.raises(ValueError, match="> 0"):
            trained.train(rows(), **argument)
    with pytest.raises(ValueError, match="steps > 0"):
        trained.evaluate(rows(1), steps=0)
    with pytest.raises(TypeError, match="SessionRunHook"):
        trained.train(rows(), hooks=[object()], steps=1)
    with pytest.raises(TypeError, match="CheckpointSaverListener"):
        trained.train(rows(), saving_listeners=[object()], steps=1)
    with pytest.raises(ValueError, match="at least one output"):
        next(trained.predict(rows(1), predict_keys=["z"]))


def test_empty_input_is_refused(tmp_path: Path) -> None:
    def empty() -> Any:
        return rows(1)().take(0)

    with pytest.raises(est.EmptyInputError):
        make(tmp_path).train(empty)
    with pytest.raises(est.EmptyInputError):
        make(tmp_path).evaluate(empty)
    assert list(make(tmp_path).predict(empty)) == []
    with pytest.raises(ValueError, match="returned None"):
        make(tmp_path).train(lambda: None, steps=1)
    with pytest.raises(ValueError, match="tuple of 3"):
        make(tmp_path).train(lambda: (X, Y, Y), steps=1)


def test_predictions_without_a_common_batch_need_whole_batches(tmp_path: Path) -> None:
    def odd(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        predictions = {"y": features["x"], "first": features["x"][:1]} if labels is None else features["x"]
        return est.EstimatorSpec(mode, predictions=predictions)

    estimator = make(tmp_path, model=odd, params=None)
    with pytest.raises(ValueError, match="Batch length of predictions should be same"):
        next(estimator.predict(rows(1)))
    assert next(estimator.predict(rows(1), yield_single_examples=False))["first"].shape == (1, 3)


def test_predict_keys_need_a_dict(tmp_path: Path) -> None:
    def plain(features: Any, mode: str) -> est.EstimatorSpec:
        return est.EstimatorSpec(mode, predictions=features["x"] * 2)

    estimator = make(tmp_path, model=plain)
    features = lambda: tf.data.Dataset.from_tensors({"x": X})  # noqa: E731
    np.testing.assert_allclose(list(estimator.predict(features)), 2 * X)
    with pytest.raises(ValueError, match="not a dict"):
        next(estimator.predict(features, predict_keys=["y"]))


def test_nan_loss_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    estimator = make(tmp_path).train(rows(), steps=3)
    bad = np.where(np.arange(64)[:, None] == 40, np.nan, X).astype(np.float32)
    # Row 40 is in the third batch of 16, after two good steps: 3 + 3.
    with pytest.raises(est.NanLossDuringTrainingError) as caught:
        estimator.train(lambda: tf.data.Dataset.from_tensor_slices(({"x": bad}, Y)).batch(16).repeat(), steps=50)
    assert caught.value.step == 6
    assert estimator.latest_checkpoint() == f"{tmp_path}/model.ckpt-3"
    assert estimator.evaluate(rows(1))["global_step"] == 3


def test_model_fn_signature_is_checked(tmp_path: Path) -> None:
    def with_everything(features: Any, labels: Any, mode: str, params: Any, config: Any, model_dir: str) -> Any:
        assert params == {"rate": 0.2}
        assert config.model_dir == model_dir == str(tmp_path)
        return model_fn(features, labels, mode, params)

    estimator = make(tmp_path, model=with_everything, params={"rate": 0.2}).train(rows(), steps=2)
    np.testing.assert_allclose(estimator.get_variable_value("w"), by_hand(2, 0.2), rtol=1e-4)
    with pytest.raises(ValueError, match="parameter `params`"):
        est.Estimator(lambda features: None, params={"a": 1})
    with pytest.raises(ValueError, match="parameter `features`"):
        est.Estimator(lambda x: None)
    with pytest.raises(ValueError, match="has parameters"):
        est.Estimator(lambda features, other: None)
    with pytest.raises(ValueError, match="does not take labels"):
        make(tmp_path / "a", model=lambda features, mode: None).train(rows(), steps=1)
    with pytest.raises(ValueError, match="must return an EstimatorSpec"):
        make(tmp_path / "b", model=lambda features, labels: None).train(rows(), steps=1)


def test_input_fn_gets_what_it_asks_for(tmp_path: Path) -> None:
    seen = {}

    def input_fn(mode: str, params: Any, config: Any, input_context: Any) -> Any:
        seen.update(mode=mode, params=params, model_dir=config.model_dir)
        return rows(1)()

    make(tmp_path, params={"rate": 0.1}).train(input_fn)
    assert seen == {"mode": "train", "params": {"rate": 0.1}, "model_dir": str(tmp_path)}


def test_subclasses_may_add_but_not_override() -> None:
    class Adds(est.Estimator):
        def more(self) -> int:
            return 1

    class Overrides(est.Estimator):
        def train(self, *args: Any, **kwargs: Any) -> Any:
            return None

    assert Adds(model_fn).more() == 1
    with pytest.raises(ValueError, match="cannot override members of Estimator"):
        Overrides(model_fn)


def test_model_dir_comes_from_one_place(tmp_path: Path) -> None:
    config = est.RunConfig(model_dir=str(tmp_path))
    assert est.Estimator(model_fn, config=config).model_dir == str(tmp_path)
    assert est.Estimator(model_fn, tmp_path, config).model_dir == str(tmp_path)
    assert Path(est.Estimator(model_fn).model_dir).is_dir()
    with pytest.raises(ValueError, match="give one"):
        est.Estimator(model_fn, str(tmp_path / "other"), config)
    with pytest.raises(ValueError, match="RunConfig"):
        est.Estimator(model_fn, config={"model_dir": str(tmp_path)})  # type: ignore[arg-type]
    estimator = est.Estimator(model_fn, params={"a": [1]})
    estimator.params["a"].append(2)
    assert estimator.params == {"a": [1]}
