"""Traces that Estimators share: the results of traces of their own, and nothing left of whoever was before."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator import linear_model
from tf_estimator.checkpoint.files import CheckpointReader
from tf_estimator.training import initialization
from tf_estimator.training.trace_store import TraceStore

fc = tf.feature_column
ROWS = 40


def _data(seed=0):
    rng = np.random.default_rng(seed)
    words = est.inputs.Dictionary(rng.integers(0, 3, ROWS).astype(np.int32), np.array([b"a", b"b", b"c"], object))
    features = {"x": rng.normal(size=ROWS).astype(np.float32), "w": words}
    return features, (features["x"] > 0).astype(np.int64)


def _input(seed=0):
    return est.inputs.columns_input_fn(*_data(seed), batch_size=8, shuffle=True, seed=3)


def _make(directory, store=None, seed=5, **config):
    words = fc.categorical_column_with_vocabulary_list("w", ["a", "b", "c"])
    classifier = est.DNNLinearCombinedClassifier(
        linear_feature_columns=[words],
        dnn_feature_columns=[fc.numeric_column("x"), fc.embedding_column(words, 2)],
        dnn_hidden_units=[4],
        dnn_dropout=0.3,
        config=est.RunConfig(model_dir=str(directory), tf_random_seed=seed, save_summary_steps=2, **config),
    )
    if store is not None:
        classifier.model_runtime.share_traces(store, "wide and deep")
    return classifier


class _Losses(est.SessionRunHook):
    def __init__(self):
        self.values = []

    def before_run(self, context):
        return est.SessionRunArgs(context.original_args.fetches[0])

    def after_run(self, context, values):
        self.values.append(float(values.results))


def _results(estimator, seed=0):
    """Losses of each step, all that the checkpoint holds, the evaluation, the predictions."""
    losses = _Losses()
    estimator.train(_input(seed), hooks=[losses], max_steps=6)
    estimator.train(_input(seed), max_steps=60)
    reader = CheckpointReader(estimator.latest_checkpoint())
    values = {name: reader.value(name).tobytes() for name in reader.shapes}
    features, labels = _data(seed)
    rows = est.inputs.columns_input_fn(features, labels, batch_size=16, num_epochs=1)
    found = [one["probabilities"].tobytes() for one in estimator.predict(rows)]
    return losses.values, values, estimator.evaluate(rows), found


@pytest.mark.parametrize("kept_bytes", [initialization._KEPT_BYTES, 0], ids=["values kept", "computed again"])
def test_shared_traces_give_what_new_ones_do_to_the_bit(tmp_path, monkeypatch, kept_bytes):
    monkeypatch.setattr(initialization, "_KEPT_BYTES", kept_bytes)
    store = TraceStore()
    alone = _results(_make(tmp_path / "alone"))
    first = _results(_make(tmp_path / "first", store))
    other = _results(_make(tmp_path / "other", store), seed=1)  # somebody else's data, in between
    again = _results(_make(tmp_path / "again", store))
    assert len(store) == 3  # one for each mode
    assert alone == first == again
    assert alone[0] != other[0]
    files = [file for path in (tmp_path / "alone", tmp_path / "again") for file in path.glob("events.*")]
    one, kept = (list(tf.compat.v1.train.summary_iterator(str(file))) for file in files)
    assert [event.WhichOneof("what") for event in one[:3]] == ["file_version", "graph_def", "meta_graph_def"]
    graphs = [tf.compat.v1.GraphDef.FromString(events[1].graph_def) for events in (kept, one)]
    metas = [tf.compat.v1.MetaGraphDef.FromString(events[2].meta_graph_def) for events in (kept, one)]
    for made, usual in (graphs, [meta.graph_def for meta in metas]):
        assert [node.name for node in made.node] == [node.name for node in usual.node]
    assert metas[0].collection_def.keys() == metas[1].collection_def.keys()
    assert all(event.wall_time for event in kept)


def test_a_shared_trace_is_taken_not_made_and_its_functions_too(tmp_path):
    store = TraceStore()
    first, second = _make(tmp_path / "first", store), _make(tmp_path / "second", store)
    first.train(_input(), max_steps=6)
    trace, _ = first.model_runtime.trace_with_input(_input(), "train")
    functions = len(trace.memo)
    second.train(_input(1), max_steps=6)
    assert second.model_runtime.trace_with_input(_input(), "train")[0] is trace
    assert len(trace.memo) == functions


def test_what_shapes_the_graph_separates_traces(tmp_path):
    store = TraceStore()
    traces = [
        _make(tmp_path, store, **changed).model_runtime.trace_with_input(_input(), "train")[0]
        for changed in ({}, {"seed": 6}, {"mixed_precision": "bfloat16"})
    ]
    larger = est.inputs.columns_input_fn(*_data(), batch_size=9)
    traces.append(_make(tmp_path, store).model_runtime.trace_with_input(larger, "train")[0])
    assert len({id(trace) for trace in traces}) == len(store) == 4


def test_nothing_of_an_estimator_or_its_data_stays_with_its_traces(tmp_path):
    store = TraceStore()
    estimator, rows = _make(tmp_path, store), _input()
    estimator.train(rows, max_steps=40)
    estimator.evaluate(est.inputs.columns_input_fn(*_data(), batch_size=8, num_epochs=1))
    gone = [weakref.ref(thing) for thing in (estimator, rows, rows.packing, estimator.model_runtime.state)]
    del estimator, rows
    gc.collect()
    assert [thing() for thing in gone] == [None] * len(gone)
    assert len(store) == 2


def test_the_trace_that_was_taken_longest_ago_goes_first(tmp_path):
    store = TraceStore(most=2)

    def trace(seed):
        return _make(tmp_path, store, seed=seed).model_runtime.trace_with_input(_input(), "train")[0]

    one, _, again, _ = trace(1), trace(2), trace(1), trace(3)
    assert again is one
    assert trace(1) is one
    assert len(store) == 2
    assert len(_with_a_trace(tmp_path, TraceStore(most_bytes=1000))) == 0


def _with_a_trace(directory, store):
    _make(directory, store).model_runtime.trace_with_input(_input(), "train")
    return store


def test_a_trace_with_many_functions_is_not_kept_on(tmp_path):
    store, made = TraceStore(most_functions=2), []
    for name in ("one", "other"):
        estimator = _make(tmp_path / name, store)
        estimator.train(_input(), max_steps=4)
        made.append(estimator.model_runtime.trace_with_input(_input(), "train")[0])
    assert made[0] is not made[1]
    assert len(store) == 1


def _noisy(features, labels, mode, params):
    spec = linear_model.model_fn(features, labels, mode, params)
    return spec._replace(loss=spec.loss + tf.random.uniform([], seed=1))


def test_a_model_that_draws_numbers_while_it_trains_shares_nothing(tmp_path):
    for model_fn, kept in ((linear_model.model_fn, 1), (_noisy, 0)):
        store = TraceStore()
        estimator = linear_model.make(tmp_path, model=model_fn, params={})
        store.put("a", estimator.model_runtime.trace_with_input(linear_model.rows(), "train")[0])
        assert len(store) == kept


def test_a_model_fn_of_the_users_shares_nothing(tmp_path):
    store = TraceStore()
    estimator = linear_model.make(tmp_path, params={})
    estimator.model_runtime.share_traces(store, "linear")
    estimator.train(linear_model.rows(), max_steps=2)
    assert len(store) == 0


def test_rows_that_were_chosen_and_all_rows_take_functions_of_their_own(tmp_path):
    """Numbers of chosen rows have 64 bits, others 32."""
    estimator = _make(tmp_path)
    chosen = est.inputs.columns_input_fn(*_data(), batch_size=8, rows=np.arange(ROWS))
    estimator.train(_input(), max_steps=2)
    estimator.train(chosen, max_steps=4)
    assert _input().open_source().signature != chosen.open_source().signature
