"""Exports of every recorded canned estimator: all modes, all loaders, and without any receiver function."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.golden_case import GoldenCase
from tests.estimator.test_golden import _DIRECTORY
from tf_estimator import export
from tf_estimator.training.trace_store import TraceStore

v1 = tf.compat.v1


@pytest.fixture(params=sorted(p for p in _DIRECTORY.iterdir() if p.is_dir()), ids=lambda p: p.name)
def case(request, tmp_path):
    return GoldenCase(request.param, tmp_path)


def rows(case, count=5):
    """The first rows as a client sends them."""
    made = []
    for number in range(count):
        row = {}
        for key, values in case.data.items():
            kind, _, name = key.partition(":")
            if kind == "f":
                row[name] = values[number].tolist()
            elif kind == "s":
                row[name] = values[number, : case.data[f"n:{name}"][number]].tolist()
        made.append(row)
    return [{name: _text(value) for name, value in row.items()} for row in made]


def _text(value):
    if isinstance(value, list):
        return [_text(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def features(case, examples):
    """Of a model without columns, or with several categories in a row; the others know theirs."""
    several = any(isinstance(value, list) and isinstance(value[0], str) for value in examples[0].values())
    if case.estimator.feature_columns and several and not any(key.startswith("s:") for key in case.data):
        used = {key for column in case.estimator.feature_columns for key in column.parse_example_spec}
        kinds = {name: "string" if case.data[f"f:{name}"].dtype.kind == "S" else "float32" for name in used}
        return [export.FeatureInfo(name, kinds[name], np.shape(examples[0][name])) for name in sorted(used)]
    if getattr(case.estimator, "feature_columns", None):
        return None
    name, value = next(iter(examples[0].items()))
    return [export.FeatureInfo(name, "string" if isinstance(value, str) else "float32", np.shape(value))]


def test_canned_estimator_is_served_as_it_predicts(case):
    examples = rows(case)
    infos = features(case, examples)
    directory, store = str(case.scratch / "serving"), TraceStore()
    case.estimator.model_runtime.share_traces(store, "case")
    content = export.export_for_serving(case.estimator, directory, features=infos, examples=examples)
    recorded = case.expected["signatures"]
    if "error" not in recorded:
        made = {name: sorted(output["name"] for output in s["outputs"]) for name, s in content["signatures"].items()}
        assert made == {
            **{name: sorted(outputs) for name, outputs in recorded.items()},
            "serving_default": sorted(recorded["predict"]),
            "examples": sorted(recorded["predict"]),
        }
    assert content["estimator"] == case.spec["estimator"]
    assert content["label_vocabulary"] == case.spec["args"].get("label_vocabulary")
    assert export.skew_check(case.estimator, directory, examples, features=infos) < 1e-6
    with tf.Graph().as_default(), v1.Session() as session:
        meta_graph = v1.saved_model.load(session, ["serve"], directory)
        assert set(meta_graph.signature_def) >= set(content["signatures"])
    again = case.scratch / "again"
    assert export.export_for_serving(case.estimator, str(again), features=infos, examples=examples) == content
    if len(store.exports):
        assert _bytes(again) == _bytes(Path(directory))
    assert export.skew_check(case.estimator, str(again), examples, features=infos) < 1e-6


def _bytes(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


#: One of each network; what differs otherwise is the head, which is the same in all modes.
NETWORKS = ("baseline_classifier", "dnn_batch_norm_sgd", "linear_classifier_ftrl", "rnn_gru_multiclass_context")


@pytest.mark.parametrize("folder", NETWORKS)
def test_canned_estimator_exports_all_modes(folder, tmp_path):
    case = GoldenCase(_DIRECTORY / folder, tmp_path)

    def supervised():
        """Recorded rows stand in the graph, so that each MetaGraph can run as it is."""
        features, labels = v1.data.make_one_shot_iterator(case._input(first=8)()).get_next()
        dense = {name: value for name, value in features.items() if isinstance(value, tf.Tensor)}
        receivers = {name: v1.placeholder_with_default(value, value.shape) for name, value in dense.items()}
        return export.SupervisedInputReceiver({**features, **receivers}, labels, receivers)

    def serving():
        receiver = supervised()
        return export.ServingInputReceiver(receiver.features, receiver.receiver_tensors)

    receivers = {est.ModeKeys.TRAIN: supervised, est.ModeKeys.EVAL: supervised, est.ModeKeys.PREDICT: serving}
    path = case.estimator.experimental_export_all_saved_models(str(tmp_path / "all"), receivers).decode()
    for tag, signature, output in [
        ("train", "train", "loss"),
        ("eval", "eval", "loss"),
        ("serve", "predict", "logits"),
    ]:
        with tf.Graph().as_default(), v1.Session() as session:
            definition = v1.saved_model.load(session, [tag], path).signature_def[signature]
            assert np.isfinite(session.run(definition.outputs[output].name)).all()
        assert signature in tf.saved_model.load(path, tags=tag).signatures
