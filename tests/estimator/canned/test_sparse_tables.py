"""Big tables of a wide and deep model: a step makes nothing as large, and single ids give the general result."""

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.graph_session import in_graph
from tf_estimator.feature_column import LinearModel
from tf_estimator.graph.fetches import element_of

fc = tf.feature_column
IDS = 1009


def _wide_and_deep(directory, optimizers):
    ids = fc.categorical_column_with_identity("id", IDS)
    hashed = fc.categorical_column_with_hash_bucket("word", IDS)
    return est.DNNLinearCombinedClassifier(
        str(directory),
        linear_feature_columns=[ids, hashed],
        linear_optimizer=optimizers[0],
        dnn_feature_columns=[fc.embedding_column(ids, 4), fc.embedding_column(hashed, 4)],
        dnn_optimizer=optimizers[1],
        dnn_hidden_units=[4],
        config=est.RunConfig(save_summary_steps=None),
    )


def _sparse(features, labels):
    return {name: tf.sparse.from_dense(tf.expand_dims(column, -1)) for name, column in features.items()}, labels


@pytest.mark.parametrize("optimizers", [("Ftrl", "Adagrad"), ("Adagrad", "SGD")], ids=str)
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_no_tensor_of_a_step_is_as_large_as_a_table(tmp_path, optimizers, sparse):
    def input_fn():
        features = {"id": np.array([3, 5, 3, 1008]), "word": np.array([b"a", b"b", b"a", b"c"])}
        rows = tf.data.Dataset.from_tensors((features, np.array([0, 1, 1, 0])))
        return rows.map(_sparse) if sparse else rows

    runtime = _wide_and_deep(tmp_path, optimizers).model_runtime
    trace, source = runtime.trace_with_input(input_fn, est.ModeKeys.TRAIN)
    fetched = [element_of(trace.variables, trace.spec.loss), *trace.train_ops]
    nodes = trace.functions.subgraph(fetched, trace.feeds).definition.node
    operations = [trace.graph.get_operation_by_name(node.name) for node in nodes]
    tables = {t.key for t in trace.variables.all() if IDS in t.variable.shape}
    assert len(tables) >= 4
    assert [op.name for op in operations for o in op.outputs if o.shape.rank and IDS in o.shape.as_list()] == []
    source.close()


@pytest.mark.parametrize(
    ("make", "values", "combiner"),
    [
        (lambda: fc.categorical_column_with_hash_bucket("t", 3), ["x", "", "y", "x"], "sum"),
        (lambda: fc.categorical_column_with_vocabulary_list("t", ["x", "y"]), ["x", "", "unknown", "x"], "mean"),
        (lambda: fc.categorical_column_with_identity("t", 4), [3, -1, 3, 0], "sqrtn"),
    ],
    ids=["hash", "vocabulary", "identity"],
)
def test_linear_model_gives_for_single_ids_what_it_gives_for_several(make, values, combiner):
    def build():
        made = []
        given = tf.constant(values)
        # A second value that is missing everywhere takes the general way.
        missing = tf.fill([4, 1], tf.constant("" if given.dtype == tf.string else -1, given.dtype))
        for feature in (given, tf.concat([given[:, None], missing], axis=1)):
            layer = LinearModel([make()], units=2, sparse_combiner=combiner)
            sums = layer({"t": feature})
            table = next(v for v in layer.trainable_variables if v.shape.rank == 2)
            numbers = table.assign(tf.reshape(tf.range(1.0, table.shape.num_elements() + 1.0), table.shape))
            gradient = tf.gradients(sums * tf.reshape(tf.range(8.0), [4, 2]), table)[0]
            assert isinstance(gradient, tf.IndexedSlices)
            made.append([sums, tf.convert_to_tensor(gradient), numbers])
        return made

    short, general = in_graph(build, runs=2)  # weights are zero in the first
    assert short[0].any()
    for got, wanted in zip(short, general, strict=True):
        np.testing.assert_array_equal(got, wanted)
