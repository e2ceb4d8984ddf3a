"""train_and_evaluate: when it evaluates, what it exports, and its specs' errors."""

import json
import threading
from pathlib import Path

import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator import small_model
from tf_estimator import EvalSpec, TrainSpec, eval_events, export, hooks, train_and_evaluate
from tf_estimator.export.exporter import BestExporter, Exporter, FinalExporter, LatestExporter, loss_smaller

receiver_fn = export.build_parsing_serving_input_receiver_fn(small_model.FEATURE_SPEC)


class Noting(Exporter):
    """Notes what it is asked to export."""

    name = "noting"

    def __init__(self):
        self.calls = []

    def export(self, estimator, export_path, checkpoint_path, eval_result, is_the_final_export):
        step = int(checkpoint_path.rpartition("-")[2])
        assert eval_result["global_step"] == step
        assert export_path == str(Path(estimator.model_dir) / "export" / "noting")
        self.calls.append((step, is_the_final_export))
        return f"{step}"


def specs(max_steps=9, exporters=None, **evaluation):
    evaluation.setdefault("throttle_secs", 0)
    return (
        TrainSpec(small_model.endless_input_fn, max_steps),
        EvalSpec(small_model.input_fn, steps=None, exporters=exporters, **evaluation),
    )


def test_train_and_evaluate_evaluates_each_checkpoint_and_exports_the_last(tmp_path):
    estimator = small_model.make(tmp_path, save_checkpoints_steps=3)
    noting = Noting()
    metrics, exports = train_and_evaluate(estimator, *specs(exporters=[noting, FinalExporter("final", receiver_fn)]))
    assert noting.calls == [(3, False), (6, False), (9, True)]
    assert metrics["global_step"] == 9
    assert list(eval_events.read_directory(estimator.eval_dir())) == [3, 6, 9]
    assert exports[0] == "9"
    assert Path(exports[1].decode()).parent == Path(estimator.model_dir) / "export" / "final"


def test_train_and_evaluate_continues_and_ends_with_the_input(tmp_path):
    estimator = small_model.make(tmp_path, save_checkpoints_steps=3)
    train_and_evaluate(estimator, *specs(max_steps=3))
    noting = Noting()
    # The input has four batches, and there is no max_steps: the checkpoint at its end is the last one.
    metrics, exports = train_and_evaluate(
        estimator,
        TrainSpec(small_model.input_fn),
        EvalSpec(
            small_model.input_fn,
            steps=None,
            exporters=[noting, FinalExporter("final", receiver_fn)],
            throttle_secs=0,
            name="again",
        ),
    )
    assert metrics["global_step"] == 7
    # Exported before it was known to be the last; who waits for the last is asked again.
    assert noting.calls == [(6, False), (7, False)]
    assert exports[0] == "7"
    assert b"/export/final/" in exports[1]
    assert list(eval_events.read_directory(estimator.eval_dir("again"))) == [6, 7]


def test_train_and_evaluate_throttles_all_but_the_first_and_last(tmp_path):
    estimator = small_model.make(tmp_path, save_checkpoints_steps=2)
    noting = Noting()
    train_and_evaluate(estimator, *specs(exporters=noting, throttle_secs=1000))
    assert noting.calls == [(2, False), (9, True)]


def test_train_and_evaluate_hands_on_hooks_and_listeners(tmp_path):
    called = []

    class Hook(hooks.SessionRunHook):
        def __init__(self, name):
            self._name = name

        def end(self, session):
            called.append(self._name)

    class Listener(hooks.CheckpointSaverListener):
        def end(self, session, global_step_value):
            called.append(f"listener {global_step_value}")

    estimator = small_model.make(tmp_path)
    train_and_evaluate(
        estimator,
        TrainSpec(small_model.endless_input_fn, 2, [Hook("train")], [Listener()]),
        EvalSpec(small_model.input_fn, hooks=[Hook("eval")], throttle_secs=0),
    )
    assert sorted(called) == ["eval", "listener 2", "train"]


def test_train_and_evaluate_of_what_has_reached_its_end_does_nothing(tmp_path):
    estimator = small_model.make(tmp_path)
    estimator.train(small_model.endless_input_fn, steps=5)
    assert train_and_evaluate(estimator, *specs(max_steps=5)) == (None, None)


def test_train_and_evaluate_as_evaluator_waits_for_checkpoints(tmp_path, monkeypatch):
    estimator = small_model.make(tmp_path, save_checkpoints_steps=100)
    monkeypatch.setenv(
        "TF_CONFIG",
        json.dumps({"cluster": {"chief": ["localhost:1"]}, "task": {"type": "evaluator", "index": 0}}),
    )
    evaluator = small_model.make(tmp_path)
    noting = Noting()
    trained = threading.Event()
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        if len(naps) == 2:  # after the start delay and one look at an empty directory
            estimator.train(small_model.endless_input_fn, max_steps=4)
            trained.set()

    monkeypatch.setattr("time.sleep", sleep)
    arguments = specs(max_steps=4, exporters=noting, start_delay_secs=7, throttle_secs=3)
    assert train_and_evaluate(evaluator, *arguments) is None
    assert noting.calls == [(4, True)]
    assert naps[0] == 7
    assert trained.is_set()
    assert naps[1] == pytest.approx(3, abs=1)


def test_train_and_evaluate_as_worker_only_trains(tmp_path, monkeypatch):
    monkeypatch.setenv(
        "TF_CONFIG",
        json.dumps(
            {"cluster": {"chief": ["localhost:1"], "worker": ["localhost:2"]}, "task": {"type": "chief", "index": 0}}
        ),
    )
    estimator = small_model.make(tmp_path)
    noting = Noting()
    assert train_and_evaluate(estimator, *specs(max_steps=2, exporters=noting)) is None
    assert noting.calls == []
    assert estimator.get_variable_value("global_step") == 2


def test_train_and_evaluate_as_parameter_server_raises(tmp_path, monkeypatch):
    monkeypatch.setenv(
        "TF_CONFIG",
        json.dumps({"cluster": {"chief": ["localhost:1"], "ps": ["localhost:2"]}, "task": {"type": "ps", "index": 0}}),
    )
    with pytest.raises(ValueError, match="MultiWorkerMirroredStrategy"):
        train_and_evaluate(small_model.make(tmp_path), *specs())


def test_train_and_evaluate_with_wrong_types_raises(tmp_path):
    train, evaluation = specs()
    estimator = small_model.make(tmp_path)
    for arguments in [("estimator", train, evaluation), (estimator, evaluation, evaluation), (estimator, train, train)]:
        with pytest.raises(TypeError, match="must be an est"):
            train_and_evaluate(*arguments)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TrainSpec(1), TypeError, "input_fn must be a function"),
        (lambda: TrainSpec(small_model.input_fn, 0), ValueError, "max_steps must be > 0"),
        (lambda: TrainSpec(small_model.input_fn, hooks=["hook"]), TypeError, "session-run hooks"),
        (lambda: EvalSpec(1), TypeError, "input_fn must be a function"),
        (lambda: EvalSpec(small_model.input_fn, steps=0), ValueError, "steps must be > 0"),
        (lambda: EvalSpec(small_model.input_fn, name=""), TypeError, "name must be a string"),
        (lambda: EvalSpec(small_model.input_fn, hooks=["hook"]), TypeError, "session-run hooks"),
        (lambda: EvalSpec(small_model.input_fn, start_delay_secs=-1), ValueError, "start_delay_secs must be >= 0"),
        (lambda: EvalSpec(small_model.input_fn, throttle_secs=-1), ValueError, "throttle_secs must be >= 0"),
        (lambda: EvalSpec(small_model.input_fn, exporters=["exporter"]), TypeError, "must be est.Exporter"),
        (lambda: EvalSpec(small_model.input_fn, exporters=[Noting(), Noting()]), ValueError, "different names"),
        (lambda: EvalSpec(small_model.input_fn, exporters=FinalExporter("", receiver_fn)), ValueError, "needs a name"),
        (lambda: FinalExporter("a", None), ValueError, "serving_input_receiver_fn"),
        (lambda: LatestExporter("a", receiver_fn, exports_to_keep=0), ValueError, "exports_to_keep"),
        (lambda: BestExporter(), ValueError, "serving_input_receiver_fn"),
        (lambda: BestExporter("a", receiver_fn, exports_to_keep=-1), ValueError, "exports_to_keep"),
        (lambda: BestExporter("a", receiver_fn, compare_fn="loss"), ValueError, "compare_fn must be a function"),
        (lambda: BestExporter("a", receiver_fn, compare_fn=lambda a, b: True), ValueError, "must have the arguments"),
    ],
)
def test_spec_or_exporter_with_wrong_arguments_raises(make, error, message):
    with pytest.raises(error, match=message):
        make()


class Exports:
    """An estimator whose exports are empty directories."""

    def __init__(self, model_dir):
        self.model_dir = str(model_dir)
        self.made = 0

    def export_saved_model(self, base, receiver, assets_extra, as_text, checkpoint_path):
        self.made += 1
        path = Path(base) / str(self.made)
        path.mkdir(parents=True)
        (path / "saved_model.pb").touch()
        return str(path).encode()


def test_latest_exporter_keeps_the_newest(tmp_path):
    exporter, estimator = LatestExporter("latest", receiver_fn, exports_to_keep=2), Exports(tmp_path)
    for _ in range(4):
        exporter.export(estimator, str(tmp_path / "out"), "ckpt", {}, False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["3", "4"]


def test_best_exporter_exports_what_is_better_than_all_before(tmp_path):
    exporter, estimator = BestExporter("best", receiver_fn), Exports(tmp_path)
    results = [
        exporter.export(estimator, str(tmp_path / "out"), "ckpt", {"loss": loss, "global_step": step}, False)
        for step, loss in enumerate([3.0, 4.0, 2.0, 2.0, 1.0])
    ]
    assert [result is not None for result in results] == [True, False, True, False, True]


def test_best_exporter_knows_the_evaluations_of_an_earlier_run(tmp_path):
    with tf.Graph().as_default():
        writer = tf.compat.v1.summary.FileWriter(str(tmp_path / "eval"))
        for step, loss in [(1, 2.0), (2, 0.5), (3, 0.4)]:
            value = tf.compat.v1.Summary.Value(tag="loss", simple_value=loss)
            writer.add_summary(tf.compat.v1.Summary(value=[value]), step)
        writer.close()
    exporter, estimator = BestExporter("best", receiver_fn), Exports(tmp_path)
    out = str(tmp_path / "out")
    # Step 3 is the evaluation that is being judged; 0.4 < 0.5 of step 2.
    assert exporter.export(estimator, out, "ckpt", {"loss": 0.4, "global_step": 3}, False) is not None
    afresh = BestExporter("best", receiver_fn)
    # The first of a run is exported in any case, what comes after only if it is better than 0.4.
    assert afresh.export(estimator, out, "ckpt", {"loss": 0.6, "global_step": 4}, False) is not None
    assert afresh.export(estimator, out, "ckpt", {"loss": 0.5, "global_step": 5}, False) is None
    assert afresh.export(estimator, out, "ckpt", {"loss": 0.3, "global_step": 6}, False) is not None
    without = BestExporter("best", receiver_fn, event_file_pattern=None)
    assert without.export(estimator, out, "ckpt", {"loss": 0.6, "global_step": 4}, False) is not None


def test_loss_smaller_needs_a_loss():
    assert loss_smaller({"loss": 2}, {"loss": 1})
    assert not loss_smaller({"loss": 1}, {"loss": 1})
    for arguments in ({}, {"loss": 1}), ({"loss": 1}, {"accuracy": 1}):
        with pytest.raises(ValueError, match="must hold 'loss'"):
            loss_smaller(*arguments)


def test_event_file_that_is_cut_off_gives_what_is_whole(tmp_path):
    estimator = small_model.make(tmp_path)
    estimator.train(small_model.endless_input_fn, steps=1)
    estimator.evaluate(small_model.input_fn)
    (path,) = Path(estimator.eval_dir()).glob("*.tfevents.*")
    whole = eval_events.read_directory(estimator.eval_dir())
    assert set(whole) == {1}
    with path.open("ab") as file:
        file.write(b"\x10\x00\x00")
    assert eval_events.read_directory(estimator.eval_dir()) == whole
    assert isinstance(estimator, est.Estimator)
