"""What the five API documents promise and no other test shows; and that the table in the docs is complete."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator import small_model
from tf_estimator import eval_events, export
from tf_estimator.compat import polyaxon

v1 = tf.compat.v1
ROOT = Path(__file__).parents[2]
receiver_fn = export.build_parsing_serving_input_receiver_fn(small_model.FEATURE_SPEC)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    estimator = small_model.make(tmp_path_factory.mktemp("trained"), save_checkpoints_steps=5)
    return estimator.train(small_model.endless_input_fn, steps=10)


def test_get_variable_value_takes_one_name_or_several(trained):
    kernel, step = trained.get_variable_value(["small/kernel", "global_step:0"])
    np.testing.assert_array_equal(kernel, trained.get_variable_value("small/kernel"))
    assert step == 10


def test_variables_before_training_raise(tmp_path):
    estimator = small_model.make(tmp_path)
    for call in (estimator.get_variable_names, lambda: estimator.get_variable_value("small/kernel")):
        with pytest.raises(ValueError, match="Could not find a trained model"):
            call()


def test_evaluate_of_a_checkpoint_under_a_name(trained):
    path = f"{trained.model_dir}/model.ckpt-5"
    result = trained.evaluate(small_model.input_fn, checkpoint_path=path, name="old")
    assert result["global_step"] == 5
    assert trained.eval_dir("old").endswith("eval_old")
    assert list(eval_events.read_directory(trained.eval_dir("old"))) == [5]


def test_predict_of_a_checkpoint_calls_hooks(trained):
    calls = []

    class Hook(est.SessionRunHook):
        def after_run(self, run_context, run_values):
            calls.append(1)

    path = f"{trained.model_dir}/model.ckpt-5"
    rows = list(trained.predict(small_model.input_fn, ["logits"], [Hook()], path))
    kernel, words = (tf.train.load_checkpoint(path).get_tensor(f"small/{name}") for name in ("kernel", "words"))
    features, _ = small_model.arrays()
    ids = [[b"a", b"b", b"c", b"other"].index(word) for word in features["w"]]
    np.testing.assert_allclose([row["logits"] for row in rows], features["x"] @ kernel + words[ids], rtol=1e-5)
    assert len(calls) >= 4


def test_export_of_one_supervised_mode(trained, tmp_path):
    features, labels = small_model.arrays()
    supervised = export.build_raw_supervised_input_receiver_fn(
        {name: tf.constant(values) for name, values in features.items()}, tf.constant(labels)
    )
    path = trained.export_saved_model(str(tmp_path), supervised, experimental_mode=est.ModeKeys.EVAL).decode()
    assert list(tf.saved_model.load(path, tags="eval").signatures) == ["eval"]


def test_export_savedmodel_keeps_or_strips_default_attributes(trained, tmp_path):
    sizes = []
    for strip in (False, True):
        path = Path(trained.export_savedmodel(str(tmp_path), receiver_fn, strip_default_attrs=strip).decode())
        sizes.append((path / "saved_model.pb").stat().st_size)
        assert "predict" in tf.saved_model.load(str(path)).signatures
    assert sizes[1] < sizes[0]


def test_experimental_export_all_saved_models_is_the_export(trained, tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("a")
    path = trained.experimental_export_all_saved_models(
        str(tmp_path / "out"),
        {est.ModeKeys.PREDICT: receiver_fn},
        assets_extra={"b.txt": str(source)},
        as_text=True,
        checkpoint_path=f"{trained.model_dir}/model.ckpt-5",
    ).decode()
    assert (Path(path) / "saved_model.pbtxt").is_file()
    assert (Path(path) / "assets.extra" / "b.txt").read_text() == "a"
    assert tf.train.load_checkpoint(f"{path}/variables/variables").get_tensor("global_step") == 5


def test_polyaxon_predictions_that_do_not_fit_raise(tmp_path):
    def model_fn(features, labels, mode):
        value = v1.get_variable("value", [], initializer=v1.ones_initializer())
        train_op = v1.train.get_global_step().assign_add(1)
        predictions = {"a": features["x"] * value, "b": features["x"][:1] * value}
        return est.EstimatorSpec(mode, predictions, tf.reduce_sum(value), train_op)

    estimator = polyaxon.Estimator(model_fn, model_dir=str(tmp_path)).train(small_model.input_fn, steps=1)
    with pytest.raises(ValueError, match=r"[Bb]atch"):
        next(estimator.predict(small_model.input_fn))
    with pytest.raises(ValueError, match=r"provided \['c'\]"):
        next(estimator.predict(small_model.input_fn, predict_keys=["c"]))


def test_polyaxon_passes_hooks_and_checkpoints_on(trained, tmp_path):
    estimator = polyaxon.Estimator(small_model.model_fn, model_dir=str(tmp_path / "model"), params=trained.params)
    calls = []

    class Hook(est.SessionRunHook):
        def __init__(self, name):
            self._name = name

        def end(self, session):
            calls.append(self._name)

    path = f"{trained.model_dir}/model.ckpt-5"
    estimator.train(small_model.endless_input_fn, steps=1, hooks=[Hook("train")])
    assert estimator.evaluate(small_model.input_fn, hooks=[Hook("evaluate")], checkpoint_path=path)["global_step"] == 5
    mine = [
        row["logits"] for row in estimator.predict(small_model.input_fn, hooks=[Hook("predict")], checkpoint_path=path)
    ]
    theirs = [row["logits"] for row in trained.predict(small_model.input_fn, checkpoint_path=path)]
    np.testing.assert_array_equal(mine, theirs)
    assert calls == ["train", "evaluate", "predict"]
    extra = tmp_path / "extra.txt"
    extra.write_text("x")
    written = estimator.export_savedmodel(
        str(tmp_path / "out"), receiver_fn, assets_extra={"x.txt": str(extra)}, checkpoint_path=path
    )
    assert (Path(written) / "assets.extra" / "x.txt").is_file()
    assert tf.train.load_checkpoint(f"{written}/variables/variables").get_tensor("global_step") == 5


def _table():
    spec = importlib.util.spec_from_file_location("api_table", ROOT / "scripts" / "api_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_table_of_the_api_is_complete_and_names_real_tests():
    assert _table().problems(ROOT) == []


def test_table_that_lacks_a_row_or_names_no_test_is_found(tmp_path):
    table = _table()
    (tmp_path / "docs").mkdir()
    text = (ROOT / "docs" / "engine-api.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| `Estimator.train(steps)`"))
    wrong = text.replace(row, "| `Estimator.train(stepz)` | `tests/estimator/test_estimator.py::test_nothing` |")
    (tmp_path / "docs" / "engine-api.md").write_text(wrong)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    assert table.problems(tmp_path) == [
        "missing: Estimator.train(steps)",
        "unknown: Estimator.train(stepz)",
        "no such test: tests/estimator/test_estimator.py::test_nothing",
    ]
