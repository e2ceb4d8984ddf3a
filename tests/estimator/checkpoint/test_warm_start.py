"""Initial values out of another model's checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.linear_model import rows

v1 = tf.compat.v1


def model(size: int, prefix: str = "", columns: int = 2) -> Any:
    def model_fn(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        table = v1.get_variable(prefix + "table", [size, columns], initializer=v1.constant_initializer(-1.0))
        bias = v1.get_variable(prefix + "bias", [columns], initializer=v1.constant_initializer(-1.0))
        v1.get_variable(prefix + "average", [], initializer=v1.constant_initializer(-1.0), trainable=False)
        loss = tf.reduce_sum(table) + tf.reduce_sum(bias)
        return est.EstimatorSpec(mode, loss=loss, train_op=v1.assign_add(v1.train.get_global_step(), 1))

    return model_fn


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint with table = [[0, 1], [2, 3], [4, 5]], bias = [7, 8], average = 9."""
    path = str(tmp_path_factory.mktemp("old") / "model.ckpt-5")
    with tf.Graph().as_default():
        v1.get_variable("table", initializer=tf.reshape(tf.range(6.0), [3, 2]))
        v1.get_variable("bias", initializer=tf.constant([7.0, 8.0]))
        v1.get_variable("average", initializer=tf.constant(9.0), trainable=False)
        saver = v1.train.Saver()
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            saver.save(session, path.removesuffix("-5"), global_step=5)
    return path


def values(tmp_path: Path, model_fn: Any, warm_start_from: Any) -> dict[str, Any]:
    estimator = est.Estimator(model_fn, str(tmp_path / "new"), warm_start_from=warm_start_from)
    estimator.train(rows(), steps=1)
    return {name: estimator.get_variable_value(name) for name in estimator.get_variable_names()}


def test_a_path_warms_all_trainable_variables(tmp_path: Path, old: str) -> None:
    for i, source in enumerate((old, str(Path(old).parent), Path(old).parent)):
        got = values(tmp_path / str(i), model(3), source)
        np.testing.assert_array_equal(got["table"], [[0, 1], [2, 3], [4, 5]])
        np.testing.assert_array_equal(got["bias"], [7, 8])
        assert (got["average"], got["global_step"]) == (-1, 1)


def test_a_saved_model_warms_too(tmp_path: Path, old: str) -> None:
    variables = tmp_path / "export" / "variables"
    variables.mkdir(parents=True)
    for file in Path(old).parent.glob("model.ckpt-5.*"):
        (variables / ("variables" + file.name.removeprefix("model.ckpt-5"))).write_bytes(file.read_bytes())
    np.testing.assert_array_equal(values(tmp_path, model(3), str(tmp_path / "export"))["bias"], [7, 8])


def test_settings_choose_and_rename(tmp_path: Path, old: str) -> None:
    settings = est.WarmStartSettings(old, vars_to_warm_start="bias")
    got = values(tmp_path / "a", model(3), settings)
    np.testing.assert_array_equal(got["bias"], [7, 8])
    np.testing.assert_array_equal(got["table"], np.full([3, 2], -1))
    listed = est.WarmStartSettings(old, vars_to_warm_start=["average", "table"])
    got = values(tmp_path / "b", model(3), listed)
    assert got["average"] == 9
    np.testing.assert_array_equal(got["bias"], [-1, -1])
    renamed = est.WarmStartSettings(old, vars_to_warm_start="n/bias", var_name_to_prev_var_name={"n/bias": "bias"})
    np.testing.assert_array_equal(values(tmp_path / "c", model(3, "n/"), renamed)["n/bias"], [7, 8])


@pytest.fixture
def vocabularies(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "old.txt").write_text("red\ngreen\nblue\n")
    (tmp_path / "new.txt").write_text("blue\nblack\nred\nwhite\n")
    return str(tmp_path / "old.txt"), str(tmp_path / "new.txt")


def test_rows_move_with_their_vocabulary(tmp_path: Path, old: str, vocabularies: tuple[str, str]) -> None:
    before, after = vocabularies
    info = est.VocabInfo(after, 4, 1, before, backup_initializer=tf.constant_initializer(50.0))
    settings = est.WarmStartSettings(old, var_name_to_vocab_info={"table": info})
    # blue was row 2, red row 0; black, white and the out-of-vocabulary bucket are new.
    got = values(tmp_path / "a", model(5), settings)
    np.testing.assert_array_equal(got["table"], [[4, 5], [50, 50], [0, 1], [50, 50], [50, 50]])
    np.testing.assert_array_equal(got["bias"], [7, 8])
    # Of the old vocabulary only red counts; new rows are zero without an initializer.
    info = est.VocabInfo(after, 3, 0, before, old_vocab_size=1)
    only = est.WarmStartSettings(old, vars_to_warm_start=None, var_name_to_vocab_info={"table": info})
    got = values(tmp_path / "b", model(3), only)
    np.testing.assert_array_equal(got["table"], [[0, 0], [0, 0], [0, 1]])
    np.testing.assert_array_equal(got["bias"], [-1, -1])


def test_columns_move_on_axis_one(tmp_path: Path, old: str) -> None:
    (tmp_path / "old.txt").write_text("no\nyes\n")
    (tmp_path / "new.txt").write_text("yes\nmaybe\nno\n")
    info = est.VocabInfo(str(tmp_path / "new.txt"), 3, 0, str(tmp_path / "old.txt"), axis=1)
    settings = est.WarmStartSettings(old, vars_to_warm_start=None, var_name_to_vocab_info={"table": info})
    np.testing.assert_array_equal(
        values(tmp_path, model(3, columns=3), settings)["table"], [[1, 0, 0], [3, 0, 2], [5, 0, 4]]
    )


def test_what_does_not_fit_is_refused(tmp_path: Path, old: str, vocabularies: tuple[str, str]) -> None:
    def refused(settings: Any, match: str, model_fn: Any = None) -> None:
        with pytest.raises(ValueError, match=match):
            values(tmp_path / "x", model_fn or model(3), settings)

    with pytest.raises(ValueError, match="MUST be set"):
        est.WarmStartSettings("")
    refused(3, "warm_start_from must be")
    refused(str(tmp_path / "nothing"), "No checkpoint")
    refused(old, "not found", model(3, "other/"))
    refused(old, "doesn't match with shape", model(4))
    refused(est.WarmStartSettings(old, var_name_to_prev_var_name={"nope": "bias"}), "nope")
    refused(est.WarmStartSettings(old, vars_to_warm_start=7), "regular expression")
    before, after = vocabularies
    bad = {"table": est.VocabInfo(after, 4, 0, before)}
    refused(est.WarmStartSettings(old, var_name_to_vocab_info=bad), "VocabInfo says 4")


def test_a_checkpoint_in_the_directory_wins(tmp_path: Path, old: str) -> None:
    values(tmp_path, model(3), None)
    again = est.Estimator(model(3), str(tmp_path / "new"), warm_start_from=old)
    again.train(rows(), steps=1)
    np.testing.assert_array_equal(again.get_variable_value("bias"), [-1, -1])
