"""Exports that take their graph from an equal model's: the same files, and what makes an export write its own."""

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tf_estimator import export
from tf_estimator.export import serving_graph
from tf_estimator.training.trace_store import TraceStore

fc = tf.feature_column
WORDS = ["a", "b", "c"]
FEATURES = [
    export.FeatureInfo("x", "float32", missing={"policy": "mean", "value": 0.25}),
    export.FeatureInfo("w", "string", missing={"policy": "empty", "value": ""}),
]
EXAMPLES = [{"x": 0.5, "w": "a"}, {"x": -1.0, "w": "c"}]


def _input():
    words = est.inputs.Dictionary(np.arange(12, dtype=np.int32) % 3, np.array([b"a", b"b", b"c"], object))
    features = {"x": np.linspace(-1, 1, 12).astype(np.float32), "w": words}
    return est.inputs.columns_input_fn(features, (features["x"] > 0).astype(np.int64), batch_size=4, shuffle=False)


def _trained(directory, store=None, *, steps=3, units=3, made_of=None):
    columns = [
        fc.numeric_column("x"),
        fc.indicator_column(fc.categorical_column_with_vocabulary_list("w", WORDS)),
    ]
    config = est.RunConfig(model_dir=str(directory), tf_random_seed=1, save_summary_steps=None)
    classifier = est.DNNClassifier([units], columns, config=config)
    if store is not None:
        classifier.model_runtime.share_traces(store, made_of or units)
    return classifier.train(_input(), max_steps=steps)


def _exported(estimator, directory, **options):
    features = options.pop("features", FEATURES)
    export.export_for_serving(estimator, str(directory), features=features, examples=EXAMPLES, **options)
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def calls(monkeypatch):
    """The exports that called model_fn."""
    found, write = [], export.serving.write

    def counting(*args, **options):
        found.append(1)
        write(*args, **options)

    monkeypatch.setattr(export.serving, "write", counting)
    return found


def test_export_of_an_equal_model_has_its_own_values_in_the_same_files(tmp_path, calls):
    store = TraceStore()
    _exported(_trained(tmp_path / "a", store), tmp_path / "first")
    other = _trained(tmp_path / "b", store, steps=9)
    quick = _exported(other, tmp_path / "quick")
    assert len(calls) == 1
    alone = _exported(_trained(tmp_path / "c", steps=9), tmp_path / "alone")
    same = [name for name in alone if name != "saved_model.pb"]  # tables have random names in it
    assert [quick[name] for name in same] == [alone[name] for name in same]
    assert quick.keys() == alone.keys() and len(same) == 4
    signature = tf.saved_model.load(str(tmp_path / "quick")).signatures["serving_default"]
    served = signature(x=tf.constant([0.5, -1.0]), w=tf.constant(["a", "c"]))["probabilities"]
    inputs = {"x": np.array([0.5, -1.0], np.float32), "w": np.array([b"a", b"c"], object)}
    rows = est.inputs.columns_input_fn(inputs, None, batch_size=2, num_epochs=1, shuffle=False)
    np.testing.assert_allclose(served, [row["probabilities"] for row in other.predict(rows)], rtol=1e-6)


def test_what_shapes_the_graph_separates_exports(tmp_path, calls):
    store = TraceStore()
    estimator = _trained(tmp_path / "a", store)
    _exported(estimator, tmp_path / "first")
    filled = [export.FeatureInfo("x", "float32", missing={"policy": "mean", "value": 0.5}), FEATURES[1]]
    _exported(estimator, tmp_path / "second", features=filled)
    _exported(_trained(tmp_path / "b", store, units=4), tmp_path / "third")
    assert len(calls) == 3


def test_a_checkpoint_of_another_model_is_refused_as_ever(tmp_path):
    store = TraceStore()
    estimator = _trained(tmp_path / "a", store)
    _exported(estimator, tmp_path / "first")
    larger = _trained(tmp_path / "b", store, units=5)
    with pytest.raises(est.CheckpointError, match="does not fit the model"):
        _exported(estimator, tmp_path / "second", checkpoint_path=larger.latest_checkpoint())
    assert not (tmp_path / "second").exists()


def test_skew_is_that_of_the_files_that_were_written(tmp_path):
    """The session of the check before is loaded again: with the old values, or by another export's, it would differ."""
    store = TraceStore()
    first, second = _trained(tmp_path / "a", store), _trained(tmp_path / "b", store, steps=60)
    for estimator, name in ((first, "one"), (second, "two")):
        _exported(estimator, tmp_path / name)
        assert export.skew_check(estimator, str(tmp_path / name), EXAMPLES, features=FEATURES) < 1e-6
    assert export.skew_check(first, str(tmp_path / "two"), EXAMPLES, features=FEATURES) > 1e-3
    foreign = _trained(tmp_path / "c", steps=60)
    _exported(foreign, tmp_path / "three")  # another saved_model.pb
    assert export.skew_check(second, str(tmp_path / "three"), EXAMPLES, features=FEATURES) < 1e-6


def test_a_large_model_leaves_no_session(tmp_path, monkeypatch):
    monkeypatch.setattr(serving_graph, "_SESSION_BYTES", 10)
    store = TraceStore()
    estimator = _trained(tmp_path / "a", store)
    _exported(estimator, tmp_path / "one")
    assert export.skew_check(estimator, str(tmp_path / "one"), EXAMPLES, features=FEATURES) < 1e-6
    kept = serving_graph.kept(estimator, FEATURES, estimator.latest_checkpoint())
    assert kept is not None and kept.session is None
