"""The doctor, on every recorded model directory and on sick ones."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.estimator.test_golden import _DIRECTORY
from tf_estimator.doctor import __main__ as command
from tf_estimator.doctor import diagnose

v1 = tf.compat.v1
CASES = sorted(p for p in _DIRECTORY.iterdir() if p.is_dir())

#: Classes that share their variables with a canned one: a checkpoint can't tell which head made it.
LOOKS_LIKE = {"DNNEstimator": "DNNClassifier"}


@pytest.fixture(params=CASES, ids=lambda p: p.name)
def folder(request, tmp_path):
    shutil.copytree(request.param, tmp_path / "case")
    return tmp_path / "case"


def test_doctor_knows_model_units_optimizer_and_step(folder):
    spec = json.loads((folder / "spec.json").read_text())
    diagnosis = diagnose(str(folder / "model"))
    assert diagnosis.contents.step == 0
    assert diagnosis.contents.problems == []
    assert diagnosis.model.unexplained == []
    assert diagnosis.model.name == LOOKS_LIKE.get(spec["estimator"], spec["estimator"])
    arguments = spec["args"]
    units = arguments.get("hidden_units") or arguments.get("dnn_hidden_units") or arguments.get("units") or []
    assert diagnosis.model.units == units
    assert diagnosis.model.cell_type == arguments.get("cell_type", "")
    assert diagnosis.model.batch_norm == arguments.get("batch_norm", False)
    wanted = arguments.get("optimizer")
    if isinstance(wanted, dict):
        assert {k: pytest.approx(v) for k, v in wanted.items() if k != "type"}.items() <= (
            diagnosis.optimizers[wanted["type"]].arguments.items()
        )
    elif wanted is not None:
        assert [name.lower() for name in diagnosis.optimizers] == [wanted.lower()]
    report = diagnosis.report()
    assert f"Loads: all of its {len(diagnosis.contents.shapes)} variables." in report
    assert "at global step 0" in report


def test_code_of_the_doctor_makes_a_model_that_goes_on(folder):
    model_dir = str(folder / "model")
    scope = {}
    exec(diagnose(model_dir).code, scope)
    estimator = scope["estimator"]
    assert estimator.model_dir == model_dir
    # Features of the columns that it inferred: one row, missing in every categorical or sequence one.
    columns = list(getattr(estimator, "feature_columns", ()))
    spec = (
        tf.feature_column.make_parse_example_spec(columns) if columns else {"x": tf.io.FixedLenFeature([1], tf.float32)}
    )

    def input_fn():
        example = tf.train.Example()
        for name, feature in spec.items():
            if isinstance(feature, tf.io.FixedLenFeature):
                example.features.feature[name].float_list.value.extend(np.ones(feature.shape).ravel())
            elif feature.dtype == tf.float32:
                example.features.feature[name].float_list.value.append(1.0)
            else:
                example.features.feature[name].bytes_list.value.append(b"a")
        parsed = tf.io.parse_example([example.SerializeToString()], spec)
        regression = type(estimator).__name__.endswith("Regressor")
        outputs = diagnose(model_dir).model.outputs
        label = tf.zeros([1, outputs]) if regression else tf.zeros([1, 1], tf.int64)
        return tf.data.Dataset.from_tensors((parsed, label))

    before = {name: estimator.get_variable_value(name) for name in estimator.get_variable_names()}
    estimator.train(input_fn, steps=1)
    assert estimator.get_variable_value("global_step") == 1
    for name, value in before.items():
        assert estimator.get_variable_value(name).shape == value.shape


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


def test_doctor_says_when_slots_have_old_names(tmp_path):
    write(
        tmp_path,
        global_step=3,
        **{
            "linear/linear_model/x/weights": [[1.0]],
            "linear/linear_model/bias_weights": [0.0],
            "linear/linear_model/x/weights/Ftrl": [[0.1]],
            "linear/linear_model/x/weights/Ftrl_1": [[0.1]],
        },
    )
    diagnosis = diagnose(str(tmp_path))
    assert diagnosis.model.name == "LinearClassifier"
    assert "Ftrl with TensorFlow 1's slot names" in diagnosis.report()
    assert f"warm_start_from={json.dumps(str(tmp_path))}" in diagnosis.code


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


def test_doctor_changes_nothing(tmp_path):
    shutil.copytree(CASES[0] / "model", tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    diagnose(str(tmp_path / "model"))
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before


def test_command_line_prints_the_report(capsys, tmp_path):
    assert command.main([str(CASES[0] / "model")]) == 0
    assert "BaselineClassifier" in capsys.readouterr().out
    assert command.main([str(tmp_path)]) == 1
    assert command.main([str(tmp_path / "nowhere")]) == 2
    assert command.main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_module_runs_as_a_command():
    run = subprocess.run(
        [sys.executable, "-m", "tf_estimator.doctor", str(CASES[1] / "model")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "DNNClassifier, units [8, 4]" in run.stdout
