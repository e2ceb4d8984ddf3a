"""Checkpoints: whole or not there, limited in number, and clear errors about those that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.linear_model import make, model_fn, rows
from tf_estimator.checkpoint import files

v1 = tf.compat.v1
GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    make(tmp_path).train(rows(), steps=3)
    return tmp_path


def test_files_are_those_of_a_v1_saver(trained: Path) -> None:
    assert dict(tf.train.list_variables(str(trained))) == {"global_step": [], "w": [3, 1]}
    with tf.Graph().as_default():
        w = v1.get_variable("w", [3, 1])
        saver = v1.train.Saver()
        with v1.Session() as session:
            saver.restore(session, tf.train.latest_checkpoint(str(trained)))
            restored = session.run(w)
    np.testing.assert_array_equal(restored, make(trained).get_variable_value("w"))
    assert (trained / "model.ckpt-3.meta").is_file()
    assert 'name: "w"' in (trained / "graph.pbtxt").read_text()


def test_graph_files_can_be_left_out(tmp_path: Path) -> None:
    make(tmp_path, checkpoint_save_graph_def=False).train(rows(), steps=1)
    assert not list(tmp_path.glob("*.meta"))
    assert not (tmp_path / "graph.pbtxt").exists()


def test_only_the_newest_stay(tmp_path: Path) -> None:
    make(tmp_path, save_checkpoints_steps=2, keep_checkpoint_max=3).train(rows(), steps=11)
    # Saved at 0, 2, 4, 6, 8, 10 and at the end; three stay.
    assert files.known(str(tmp_path)) == ["model.ckpt-8", "model.ckpt-10", "model.ckpt-11"]
    state = tf.train.get_checkpoint_state(str(tmp_path))
    assert [Path(p).name for p in state.all_model_checkpoint_paths] == files.known(str(tmp_path))
    leftovers = {p.name.split(".")[1] for p in tmp_path.glob("model.ckpt-*")}
    assert leftovers == {"ckpt-8", "ckpt-10", "ckpt-11"}


def test_one_per_so_many_hours_stays(tmp_path: Path) -> None:
    # A billionth of an hour passes between any two saves, so each one is kept beside the newest.
    config = {"save_checkpoints_steps": 2, "keep_checkpoint_max": 1, "keep_checkpoint_every_n_hours": 1e-9}
    make(tmp_path, **config).train(rows(), steps=6)
    assert files.known(str(tmp_path)) == [f"model.ckpt-{n}" for n in (0, 2, 4, 6)]


def test_seconds_decide_when_they_are_given(tmp_path: Path) -> None:
    make(tmp_path, save_checkpoints_secs=0.001, keep_checkpoint_max=None).train(rows(), steps=8)
    assert len(files.known(str(tmp_path))) > 2


@pytest.mark.parametrize("case", sorted(p.parent.name for p in GOLDEN.glob("*/model")))
def test_recorded_checkpoints_are_read(case: str) -> None:
    path = files.latest(str(GOLDEN / case / "model"))
    assert path is not None
    reader = files.CheckpointReader(path)
    assert reader.value("global_step") == 0
    assert all(np.shape(reader.value(name)) == tuple(shape) for name, shape in reader.shapes.items())


def wider(features: Any, labels: Any, mode: str, params: Any) -> est.EstimatorSpec:
    v1.get_variable("extra", [2])
    v1.get_variable("w_other", [4])
    return model_fn({"x": features["x"]}, labels, mode, params)


def test_missing_variables_are_listed(trained: Path) -> None:
    with pytest.raises(est.CheckpointError, match=r"lacks: \['extra', 'w_other'\]"):
        make(trained, model=wider).train(rows(), steps=1)


def test_other_shapes_are_listed(trained: Path) -> None:
    def longer(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        w = v1.get_variable("w", [3, 2])
        return est.EstimatorSpec(mode, loss=tf.reduce_sum(w), train_op=v1.assign_add(v1.train.get_global_step(), 1))

    with pytest.raises(est.CheckpointError, match=r"w: \[3, 1\] float32 in the checkpoint, \(3, 2\) float32"):
        make(trained, model=longer).train(rows(), steps=1)


def test_truncated_data_is_an_error_and_not_a_crash(trained: Path) -> None:
    (data,) = trained.glob("model.ckpt-3.data*")
    data.write_bytes(data.read_bytes()[:5])
    for call in (lambda e: e.train(rows(), steps=1), lambda e: e.evaluate(rows(1)), lambda e: next(e.predict(rows(1)))):
        with pytest.raises(est.CheckpointError, match=r"model.ckpt-3"):
            call(make(trained))


def test_missing_files_are_an_error(trained: Path) -> None:
    (trained / "model.ckpt-3.index").unlink()
    with pytest.raises(est.CheckpointError, match=r"no such files. Known there: \['model.ckpt-0'\]"):
        make(trained).train(rows(), steps=1)
    with pytest.raises(est.CheckpointError, match="No readable checkpoint"):
        make(trained).evaluate(rows(1), checkpoint_path=str(trained / "model.ckpt-77"))


def test_state_file_that_is_garbage_is_an_error(trained: Path) -> None:
    (trained / "checkpoint").write_bytes(b"\x00\xffgarbage")
    with pytest.raises(est.CheckpointError, match="can't be read"):
        make(trained).train(rows(), steps=1)


def test_path_outside_of_the_directory_is_refused(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for path in (trained / "model.ckpt-3", Path("/etc/passwd"), Path("../../x")):
        (other / "checkpoint").write_text(f'model_checkpoint_path: "{path}"\n')
        with pytest.raises(est.CheckpointError, match="outside of the model directory"):
            make(other).latest_checkpoint()
    assert make(other).evaluate(rows(1), checkpoint_path=str(trained / "model.ckpt-3"))["global_step"] == 3


def test_values_that_are_not_finite_are_refused(trained: Path) -> None:
    values = {"w": tf.constant([[1.0], [np.nan], [1.0]]), "global_step": tf.constant(3, tf.int64)}
    files.write(str(trained / "model.ckpt-3"), values)
    with pytest.raises(est.CheckpointError, match=r"not finite in \['w'\]"):
        make(trained).train(rows(), steps=1)


def test_weights_that_became_nan_are_not_saved(tmp_path: Path) -> None:
    def explode(features: Any, labels: Any, mode: str) -> est.EstimatorSpec:
        w = v1.get_variable("w", [1], initializer=v1.ones_initializer())
        step = v1.train.get_global_step()
        bad = tf.where(step >= 2, [np.nan], [1.0])
        with tf.control_dependencies([v1.assign(w, bad)]):
            return est.EstimatorSpec(mode, loss=tf.constant(1.0), train_op=v1.assign_add(step, 1))

    estimator = make(tmp_path, model=explode, save_checkpoints_steps=2)
    with pytest.raises(est.NanLossDuringTrainingError, match=r"\['w'\]"):
        estimator.train(rows(), steps=10)
    assert estimator.latest_checkpoint() == str(tmp_path / "model.ckpt-2")


def test_a_full_disk_leaves_the_last_checkpoint(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.raw_ops, "SaveV2", full)
    before = sorted(p.name for p in trained.iterdir() if "tfevents" not in p.name)
    with pytest.raises(OSError, match="No space left"):
        make(trained, checkpoint_save_graph_def=False).train(rows(), steps=1)
    after = sorted(p.name for p in trained.iterdir() if "tfevents" not in p.name)
    assert [n for n in after if not n.endswith(".resume")] == [n for n in before if not n.endswith(".resume")]
    assert make(trained).latest_checkpoint() == str(trained / "model.ckpt-3")
