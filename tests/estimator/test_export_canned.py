"""Exports of every recorded canned estimator: all modes, all loaders, and without any receiver function."""

import numpy as np
import pytest
import tensorflow as tf

from tests.estimator.golden_case import GoldenCase
from tests.estimator.test_golden import _DIRECTORY
from workers import estimator as est
from workers.estimator import export

v1 = tf.compat.v1
MODES = {est.ModeKeys.TRAIN: "train", est.ModeKeys.EVAL: "eval", est.ModeKeys.PREDICT: "serve"}


@pytest.fixture(scope="module", params=sorted(p for p in _DIRECTORY.iterdir() if p.is_dir()), ids=lambda p: p.name)
def case(request, tmp_path_factory):
    return GoldenCase(request.param, tmp_path_factory.mktemp("case"))


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
    """Of a model without columns; the others know theirs."""
    if getattr(case.estimator, "feature_columns", None):
        return None
    name, value = next(iter(examples[0].items()))
    return [export.FeatureInfo(name, "string" if isinstance(value, str) else "float32", np.shape(value))]


def test_canned_estimator_is_served_as_it_predicts(case):
    examples = rows(case)
    infos = features(case, examples)
    directory = str(case.scratch / "serving")
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


def test_canned_estimator_exports_all_modes(case):
    def with_names(tensors, prefix):
        if isinstance(tensors, dict):
            return {name: tensor for name, tensor in tensors.items()}
        return {prefix: tensors}

    def supervised():
        """Real rows as receivers, for what counts here is that each MetaGraph loads and runs."""
        iterator = v1.data.make_one_shot_iterator(case._input(first=8)().map(lambda f, y: (_dense(f), y)))
        given, labels = iterator.get_next()
        fed = {name: v1.placeholder_with_default(tensor, tensor.shape) for name, tensor in given.items()}
        sparse = {name: fed[name] for name in fed}
        return export.SupervisedInputReceiver(_sparse(sparse), labels, with_names(fed, "feature"))

    def serving():
        receiver = supervised()
        return export.ServingInputReceiver(receiver.features, receiver.receiver_tensors)

    receivers = {est.ModeKeys.TRAIN: supervised, est.ModeKeys.EVAL: supervised, est.ModeKeys.PREDICT: serving}
    path = case.estimator.experimental_export_all_saved_models(str(case.scratch / "all"), receivers).decode()
    for tag in MODES.values():
        with tf.Graph().as_default(), v1.Session() as session:
            meta_graph = v1.saved_model.load(session, [tag], path)
            (name, definition), *_ = sorted(meta_graph.signature_def.items())
            wanted = definition.outputs["loss"].name if tag != "serve" else next(iter(definition.outputs.values())).name
            assert np.asarray(session.run(wanted)).size
            assert name == tag or tag == "serve"


def _dense(features):
    return {
        name: tf.sparse.to_dense(value) if isinstance(value, tf.SparseTensor) else value
        for name, value in features.items()
    }


def _sparse(features):
    """Padded sequences back to sparse tensors; padding is 0 or "" in the recorded data."""
    return {
        name: tf.sparse.from_dense(value) if name in ("tok", "s") else value for name, value in features.items()
    }
