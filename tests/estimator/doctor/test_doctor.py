"""The doctor, on every recorded model directory and on sick ones."""

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import tf_estimator as est
from tests.estimator.test_golden import _DIRECTORY
from tf_estimator.doctor import __main__ as command
from tf_estimator.doctor import diagnose

v1 = tf.compat.v1
CASES = sorted(p for p in _DIRECTORY.iterdir() if p.is_dir())
COMMITTED = Path(__file__).parents[2] / "golden"

#: Classes that share their variables with a canned one: a checkpoint can't tell which head made it.
LOOKS_LIKE = {"DNNEstimator": "DNNClassifier"}


#: Directories of the old library with their graphs (`old_directories/record.py` made them).
OLD = sorted(p for p in (Path(__file__).parents[1] / "old_directories").iterdir() if p.is_dir())


@pytest.fixture(params=CASES, ids=lambda p: p.name)
def folder(request, tmp_path):
    shutil.copytree(request.param, tmp_path / "case")
    return tmp_path / "case"


@pytest.fixture(params=OLD, ids=lambda p: p.name)
def old(request, tmp_path):
    return unpacked(request.param, tmp_path)


def unpacked(recorded, tmp_path):
    directory = tmp_path / recorded.name
    shutil.copytree(recorded, directory)
    packed = directory / "graph.pbtxt.gz"
    (directory / "graph.pbtxt").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    return directory


def test_doctor_knows_model_units_optimizer_and_step(folder):
    spec = json.loads((folder / "spec.json").read_text())
    diagnosis = diagnose(str(folder / "model"))
    assert diagnosis.contents.step == 0
    assert diagnosis.contents.problems == []
    assert diagnosis.model.unexplained == []
    expected = LOOKS_LIKE.get(spec["estimator"], spec["estimator"])
    if diagnosis.model.sure or expected.endswith("Estimator"):
        assert diagnosis.model.name == expected
    else:  # with one output and no graph or evaluation nothing tells a classifier from a regressor; the report says so
        assert diagnosis.model.family == re.sub("(Classifier|Regressor)$", "", expected)
        assert diagnosis.model.outputs != 1 or "or a regressor" in diagnosis.report()
    arguments = spec["args"]
    units = arguments.get("hidden_units") or arguments.get("dnn_hidden_units") or arguments.get("units") or []
    assert diagnosis.model.units == units
    assert diagnosis.model.cell_type == arguments.get("cell_type", "")
    assert diagnosis.model.batch_norm == arguments.get("batch_norm", False)
    assert all(optimizer.v1 == (spec.get("api") == "v1") for optimizer in diagnosis.optimizers.values())
    wanted = arguments.get("optimizer")
    if isinstance(wanted, dict) and spec.get("api") == "v1":
        assert [f"{name}Optimizer" for name in diagnosis.optimizers] == [wanted["type"]]
    elif isinstance(wanted, dict):
        assert {k: pytest.approx(v) for k, v in wanted.items() if k != "type"}.items() <= (
            diagnosis.optimizers[wanted["type"]].arguments.items()
        )
    elif wanted is not None:
        assert [name.lower() for name in diagnosis.optimizers] == [wanted.lower()]
    report = diagnosis.report()
    assert f"Loads: all of its {len(diagnosis.contents.shapes)} variables." in report
    assert "at global step 0" in report


def test_columns_with_variables_are_those_of_the_specification(folder):
    spec = json.loads((folder / "spec.json").read_text())
    kept = r"[^A-Za-z0-9_.\-]" if spec["estimator"].startswith("Linear") else r"[^A-Za-z0-9_.\-/]"
    known = {re.sub(kept, "_", feature["name"]) for feature in spec["data"]["features"]}
    model = diagnose(str(folder / "model")).model
    for column in (*model.linear, *model.dense, *model.sequence, *model.context):
        if not column.note.startswith("A placeholder"):
            assert set(keys(column.code)) <= known


def keys(code):
    """Keys in a column's code: what stands in double quotes, but for a combiner."""
    return re.findall(r'"([^"]*)"', re.sub(r'combiner="\w+"', "", code))


def continued(model_dir):
    """The estimator that the printed program makes, after one step of training on one row of its columns."""
    diagnosis = diagnose(model_dir)
    scope = {}
    exec(diagnosis.code, scope)
    estimator = scope["estimator"]
    assert estimator.model_dir == model_dir
    model = diagnosis.model
    codes = [c.code for c in (*model.linear, *model.dense, *model.sequence, *model.context)]
    columns = eval(f"[{', '.join(codes)}]", scope)
    spec = tf.feature_column.make_parse_example_spec(columns)
    spec = spec or {"x": tf.io.FixedLenFeature([1], tf.float32)}

    def input_fn():
        example = tf.train.Example()
        for name, feature in spec.items():
            if isinstance(feature, tf.io.FixedLenFeature):
                example.features.feature[name].float_list.value.extend(np.ones(feature.shape).ravel())
            elif feature.dtype == tf.float32:
                example.features.feature[name].float_list.value.append(1.0)
            elif feature.dtype == tf.int64:
                example.features.feature[name].int64_list.value.append(1)
            else:
                example.features.feature[name].bytes_list.value.append(b"a")
        parsed = tf.io.parse_example([example.SerializeToString()], spec)
        if model.kind == "Regressor":
            label = tf.zeros([1, model.outputs])
        else:
            label = tf.zeros([1, model.outputs if model.head else 1], tf.int64)
        return tf.data.Dataset.from_tensors((parsed, label))

    before = {name: estimator.get_variable_value(name).shape for name in estimator.get_variable_names()}
    estimator.train(input_fn, steps=1)
    assert estimator.get_variable_value("global_step") == diagnosis.contents.step + 1
    assert {name: estimator.get_variable_value(name).shape for name in before} == before
    return estimator


def test_code_of_the_doctor_makes_a_model_that_goes_on(folder):
    continued(str(folder / "model"))


def test_code_for_a_directory_of_the_old_library_makes_a_model_that_goes_on(old):
    continued(str(old))


def test_shared_embeddings_of_a_graph_are_written_as_they_were(tmp_path):
    fc = tf.feature_column
    with tf.Graph().as_default():
        shared = fc.shared_embeddings(
            [fc.categorical_column_with_vocabulary_list(key, ["u", "v"]) for key in ("work_town", "home")],
            dimension=3,
            combiner="sum",
        )
    estimator = est.DNNClassifier([2], shared, model_dir=str(tmp_path), optimizer="Adagrad")
    batch = ({"work_town": [["u"]], "home": [["v"]]}, [[1]])
    estimator.train(lambda: tf.data.Dataset.from_tensors(batch))
    code = diagnose(str(tmp_path)).code
    assert 'shared_embedding_collection_name="home_work_town_shared_embedding"' in code
    assert 'dimension=3, combiner="sum",' in code
    for key in ("home", "work_town"):
        assert f"tf.feature_column.categorical_column_with_vocabulary_list(\"{key}\", ['u', 'v'])," in code
    assert "guess" not in code
    # "u" and "v" of the first batch; the doctor's program trains on "a", which is no word of theirs.
    kept = estimator.get_variable_value("home_work_town_shared_embedding")
    after = continued(str(tmp_path)).get_variable_value("home_work_town_shared_embedding")
    np.testing.assert_array_equal(after, kept)


def test_shared_embeddings_without_a_graph_are_guessed_and_go_on(tmp_path):
    # 7 inputs are two columns of dimension 3, and one more.
    shapes = {"home_town_work_shared_embedding": (5, 3), "dnn/hiddenlayer_0/kernel": (7, 2)}
    shapes |= {"dnn/hiddenlayer_0/bias": (2,), "dnn/logits/kernel": (2, 1), "dnn/logits/bias": (1,)}
    rate = {"training/SGD/learning_rate": 0.1, "training/SGD/decay": 0.0, "training/SGD/momentum": 0.0}
    values = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    write(tmp_path, global_step=np.int64(3), **values, **rate)
    diagnosis = diagnose(str(tmp_path))
    assert diagnosis.model.unexplained == []
    assert 'categorical_column_with_hash_bucket("home_town", 5)' in diagnosis.code
    assert 'categorical_column_with_hash_bucket("work", 5)' in diagnosis.code
    assert 'The keys are a guess from "home_town_work"' in diagnosis.code
    continued(str(tmp_path))


def test_shared_embedding_of_another_name_is_told_with_what_to_do(tmp_path):
    shapes = {"places": (5, 3), "dnn/hiddenlayer_0/kernel": (6, 2), "dnn/logits/kernel": (2, 1)}
    write(tmp_path, global_step=3, **{name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    report = diagnose(str(tmp_path)).report()
    assert "they won't be read: ['places']. Give it the columns" in report


AGES = 'tf.feature_column.bucketized_column(tf.feature_column.numeric_column("age"), [20.0, 40.0, 60.0])'
CROSSED = 'tf.feature_column.crossed_column(["edu", "occ"], hash_bucket_size=16)'
EDU = "tf.feature_column.categorical_column_with_vocabulary_list(\"edu\", ['hs', 'ba', 'ma'])"
K = 'tf.feature_column.categorical_column_with_identity("k", 6)'
OCC = 'tf.feature_column.categorical_column_with_hash_bucket("occ", 10)'
WIDE = {
    'tf.feature_column.numeric_column("Hours_per_Week")',
    'tf.feature_column.categorical_column_with_hash_bucket("Marital_Status", 5)',
    'tf.feature_column.numeric_column("age")',
    'tf.feature_column.numeric_column("v", shape=(3,))',
    *(AGES, CROSSED, EDU, K, OCC),
}
DEEP = {
    'tf.feature_column.numeric_column("age")',
    'tf.feature_column.numeric_column("v", shape=(3,))',
    f'tf.feature_column.embedding_column({OCC}, dimension=4, combiner="sum")',
    *(AGES, *(f"tf.feature_column.indicator_column({column})" for column in (CROSSED, EDU, K))),
}


def test_columns_of_an_old_directory_are_those_that_it_was_made_with(old):
    model = diagnose(str(old)).model
    assert model.sure
    assert {column.code for column in model.linear} == (WIDE if "Linear" in model.name else set())
    assert {column.code for column in model.dense} == (DEEP if "DNN" in model.name else set())
    if model.family == "RNN":
        assert [keys(column.code) for column in (*model.sequence, *model.context)] == [["tok"], ["s"], ["age"], ["edu"]]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("v1_baseline_regressor", "est.v1.BaselineRegressor("),
        ("v1_dnn_momentum", "optimizer=tf.compat.v1.train.MomentumOptimizer(learning_rate=0.01, momentum=0.9),"),
        ("v1_linear_regressor", "est.v1.LinearRegressor("),
        ("v1_wide_and_deep", "dnn_optimizer=tf.compat.v1.train.AdagradOptimizer(learning_rate=0.001),"),
        ("v2_dnn_regressor", "optimizer=tf.keras.optimizers.RMSprop(learning_rate=0.001, rho=0.9),"),
        ("v2_linear_classifier", "n_classes=3,"),
        ("v2_multi_label", "head=est.MultiLabelHead(n_classes=3),"),
        ("v2_poisson", "head=est.PoissonRegressionHead(),"),
        ("v2_rnn", "est.experimental.RNNClassifier("),
        ("v2_wide_and_deep", "linear_optimizer=tf.keras.optimizers.Ftrl("),
    ],
)
def test_code_for_an_old_directory_has_its_class_and_optimizer(name, line, tmp_path):
    assert line in diagnose(str(unpacked(OLD[0].parent / name, tmp_path))).code


def write(directory, step=3, **values):
    """A name-based checkpoint of these variables."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = {name: tf.compat.v1.Variable(value, name=name) for name, value in values.items()}
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver(variables).save(session, str(directory / "model.ckpt"), step, write_meta_graph=False)


def test_doctor_infers_columns_of_a_graph_that_is_there(tmp_path):
    columns = [
        tf.feature_column.numeric_column("width", shape=(2,)),
        tf.feature_column.bucketized_column(tf.feature_column.numeric_column("age"), [1.0, 2.5]),
        tf.feature_column.indicator_column(tf.feature_column.categorical_column_with_hash_bucket("town", 7)),
    ]
    with tf.Graph().as_default() as graph, v1.variable_scope("dnn"), v1.variable_scope("input_from_feature_columns"):
        features = {"width": tf.ones([4, 2]), "age": tf.ones([4, 1]), "town": tf.constant([["a"]] * 4)}
        v1.feature_column.input_layer(features, columns)
        tf.io.write_graph(graph.as_graph_def(add_shapes=True), str(tmp_path), "graph.pbtxt")
    # 2 numbers, 3 buckets, 7 towns.
    model = {"dnn/hiddenlayer_0/kernel": np.zeros((12, 3)), "dnn/logits/kernel": np.zeros((3, 1)), "global_step": 3}
    model["training/SGD/learning_rate"] = 0.1
    write(tmp_path, **model)
    with tf.Graph().as_default():
        writer = v1.summary.FileWriter(str(tmp_path / "eval"))
        writer.add_summary(v1.Summary(value=[v1.Summary.Value(tag="label/mean", simple_value=1.0)]), 3)
        writer.close()
    diagnosis = diagnose(str(tmp_path))
    assert [(column.code, column.note) for column in diagnosis.model.dense] == [
        ('tf.feature_column.bucketized_column(tf.feature_column.numeric_column("age"), [1.0, 2.5])', ""),
        (
            'tf.feature_column.indicator_column(tf.feature_column.categorical_column_with_hash_bucket("town", 7))',
            "",
        ),
        ('tf.feature_column.numeric_column("width", shape=(2,))', ""),
    ]
    # Evaluated, and without an accuracy.
    assert diagnosis.model.sure
    assert "est.DNNRegressor(" in diagnosis.code


def test_doctor_of_a_model_fn_of_somebodys_own_lists_its_variables(tmp_path):
    write(tmp_path, global_step=3, kernel=[[1.0, 2.0]])
    report = diagnose(str(tmp_path)).report()
    assert "none of the canned ones" in report
    assert "kernel [1, 2]" in report
    assert "est.Estimator(model_fn" in report


def test_slots_of_v1_make_an_estimator_of_v1(tmp_path):
    write(
        tmp_path,
        global_step=3,
        **{
            "linear/linear_model/x/weights": [[1.0]],
            "linear/linear_model/bias_weights": [0.0],
            "linear/linear_model/x/weights/part_0/Ftrl": [[0.1]],
            "linear/linear_model/x/weights/part_0/Ftrl_1": [[0.1]],
        },
    )
    diagnosis = diagnose(str(tmp_path))
    assert diagnosis.model.name == "LinearClassifier"
    assert "LinearClassifier of tf.compat.v1.estimator" in diagnosis.report()
    # The rate is not in the checkpoint: the name gives the default of its class.
    assert "est.v1.LinearClassifier(" in diagnosis.code
    assert 'optimizer="Ftrl",' in diagnosis.code
    assert "hold no rates" in diagnosis.code


@pytest.mark.parametrize(("gates", "cell"), [(4, "lstm"), (3, "gru"), (1, "simple_rnn")])
def test_cell_of_an_earlier_release_is_known_by_its_gates(gates, cell, tmp_path):
    write(
        tmp_path,
        global_step=3,
        **{
            "rnn_model/rnn/kernel": np.zeros((2, 5 * gates), np.float32),
            "rnn_model/rnn/recurrent_kernel": np.zeros((5, 5 * gates), np.float32),
            "rnn_model/rnn/bias": np.zeros(5 * gates, np.float32),
            "rnn_model/logits/kernel": np.zeros((5, 1), np.float32),
            "rnn_model/logits/bias": np.zeros(1, np.float32),
        },
    )
    model = diagnose(str(tmp_path)).model
    assert (model.cell_type, model.units, model.unexplained) == (cell, [5], [])


def test_decay_of_an_old_optimizer_is_told(tmp_path):
    write(
        tmp_path,
        global_step=3,
        **{"baseline/bias": [0.0], "training/SGD/learning_rate": 0.1, "training/SGD/decay": 0.01},
    )
    # Keras' decay of old: rate / (1 + decay * step), which is InverseTimeDecay with decay_steps 1.
    assert "schedules.InverseTimeDecay(0.1, 1, 0.01)" in diagnose(str(tmp_path)).code


def problems(directory):
    return " ".join(diagnose(str(directory)).contents.problems)


def test_doctor_names_what_is_wrong(tmp_path):
    assert "no checkpoint" in problems(tmp_path)
    write(tmp_path, 1, global_step=1, kernel=np.ones(2000, np.float32))
    write(tmp_path, 2, global_step=2, kernel=np.array([1.0, np.nan], np.float32))
    assert "model.ckpt-2 holds NaN or infinite values in ['kernel']" in problems(tmp_path)

    data = tmp_path / "model.ckpt-2.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:2])
    diagnosis = diagnose(str(tmp_path))
    assert "model.ckpt-2 is damaged" in diagnosis.report()
    # The one before it is whole.
    assert diagnosis.contents.prefix.endswith("model.ckpt-1")
    assert diagnosis.contents.step == 1

    (tmp_path / "model.ckpt-2.index").write_bytes(b"x")
    assert "model.ckpt-2 can't be read" in problems(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/etc/model.ckpt-9"\n')
    assert "outside of the directory" in problems(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-9"\n')
    assert "points to model.ckpt-9, which is not there" in problems(tmp_path)
    (tmp_path / "checkpoint").unlink()
    assert "`checkpoint` is missing" in problems(tmp_path)


def test_doctor_of_an_object_based_checkpoint_says_so(tmp_path):
    tf.train.Checkpoint(v=tf.Variable(1.0)).save(str(tmp_path / "ckpt"))
    assert "object-based" in problems(tmp_path)


@pytest.mark.parametrize("backwards", [False, True])
def test_newest_checkpoint_does_not_rest_on_the_order_of_the_listing(backwards, monkeypatch, tmp_path):
    for name in ("model.ckpt-5", "copy.ckpt-5"):
        for file in (CASES[0] / "model").glob("model.ckpt-0.*"):
            shutil.copy(file, tmp_path / file.name.replace("model.ckpt-0", name))
    monkeypatch.setattr(Path, "glob", lambda *given, glob=Path.glob: sorted(glob(*given), reverse=backwards))
    assert diagnose(str(tmp_path)).contents.checkpoints == ["copy.ckpt-5", "model.ckpt-5"]


def test_doctor_changes_nothing(tmp_path):
    shutil.copytree(CASES[0] / "model", tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    diagnose(str(tmp_path / "model"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before


def test_command_line_prints_the_report(capsys, tmp_path):
    assert command.main([str(COMMITTED / "baseline_classifier" / "model")]) == 0
    assert "BaselineClassifier" in capsys.readouterr().out
    assert command.main([str(tmp_path)]) == 1
    assert command.main([str(tmp_path / "nowhere")]) == 2
    assert command.main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_module_runs_as_a_command():
    run = subprocess.run(
        [sys.executable, "-m", "tf_estimator.doctor", str(COMMITTED / "dnn_batch_norm_sgd" / "model")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "DNNClassifier, units [8, 4]" in run.stdout
