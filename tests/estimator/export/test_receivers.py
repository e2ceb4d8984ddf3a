"""Input receivers and the functions that make them."""

import pytest
import tensorflow as tf

from tf_estimator import export

v1 = tf.compat.v1


@pytest.fixture(autouse=True)
def graph():
    with tf.Graph().as_default() as graph:
        yield graph


def placeholder(name="x"):
    return v1.placeholder(tf.float32, [None], name=name)


def test_serving_receiver_of_single_tensors_names_them():
    x = placeholder()
    receiver = export.ServingInputReceiver(x, x)
    assert receiver.features == {"feature": x}
    assert receiver.receiver_tensors == {"input": x}
    assert receiver.receiver_tensors_alternatives is None


def test_serving_receiver_keeps_sparse_and_ragged_features():
    sparse = v1.sparse_placeholder(tf.int64)
    ragged = v1.ragged.placeholder(tf.int64, 1)
    receiver = export.ServingInputReceiver({"s": sparse, "r": ragged}, placeholder())
    assert receiver.features == {"s": sparse, "r": ragged}


def test_tensor_serving_receiver_hands_on_the_tensor_itself():
    x = placeholder()
    receiver = export.TensorServingInputReceiver(x, {"a": x})
    assert receiver.features is x
    assert receiver.receiver_tensors == {"a": x}


def test_supervised_receiver_keeps_its_structure():
    x, y = placeholder("x"), placeholder("y")
    receiver = export.SupervisedInputReceiver({"x": x}, y, {"x": x, "y": y})
    assert (receiver.features, receiver.labels) == ({"x": x}, y)


def test_unsupervised_receiver_has_no_labels():
    x = placeholder()
    assert export.UnsupervisedInputReceiver(x, x)._fields == ("features", "receiver_tensors")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: export.ServingInputReceiver(None, x), "features must be given"),
        (lambda x: export.ServingInputReceiver({1.5: x}, x), "keys must be strings"),
        (lambda x: export.ServingInputReceiver({"a": [1]}, x), "must be a tensor"),
        (lambda x: export.ServingInputReceiver(x, None), "receiver_tensors must be given"),
        (lambda x: export.ServingInputReceiver(x, {2: x}), "keys must be strings"),
        (lambda x: export.ServingInputReceiver(x, {"a": "b"}), "must be a tensor"),
        (lambda x: export.ServingInputReceiver(x, x, [x]), "must be a dict of dicts"),
        (lambda x: export.TensorServingInputReceiver(None, x), "features must be given"),
        (lambda x: export.TensorServingInputReceiver({"a": x}, x), "must be a tensor"),
        (lambda x: export.SupervisedInputReceiver(None, x, x), "features must be given"),
        (lambda x: export.SupervisedInputReceiver(x, None, x), "labels must be given"),
        (lambda x: export.SupervisedInputReceiver(x, {"a": 1}, x), "label 'a' must be a tensor"),
        (lambda x: export.UnsupervisedInputReceiver(None, x), "features must be given"),
    ],
)
def test_receiver_with_wrong_parts_raises(make, message):
    with pytest.raises(ValueError, match=message):
        make(placeholder())


def test_parsing_receiver_parses_examples():
    receiver = export.build_parsing_serving_input_receiver_fn({"x": tf.io.FixedLenFeature([2], tf.float32)}, 4)()
    assert receiver.receiver_tensors["examples"].shape == [4]
    assert receiver.receiver_tensors["examples"].dtype == tf.string
    assert receiver.features["x"].shape == [4, 2]


def test_raw_receiver_opens_the_batch_dimension():
    fn = export.build_raw_serving_input_receiver_fn({"x": tf.TensorSpec([7, 2], tf.float32)})
    receiver = fn()
    assert receiver.receiver_tensors["x"].shape.as_list() == [None, 2]
    assert receiver.features == receiver.receiver_tensors
    with tf.Graph().as_default():
        assert fn().features["x"] is not receiver.features["x"]


def test_raw_receiver_of_one_tensor_is_a_tensor_receiver():
    receiver = export.build_raw_serving_input_receiver_fn(tf.TensorSpec([7], tf.int64), default_batch_size=3)()
    assert isinstance(receiver, export.TensorServingInputReceiver)
    assert receiver.features.shape.as_list() == [3]


def test_raw_receiver_takes_names_that_are_no_operation_names():
    receiver = export.build_raw_serving_input_receiver_fn({"größe in cm": tf.TensorSpec([1], tf.float32)})()
    assert list(receiver.receiver_tensors) == ["größe in cm"]


def test_raw_supervised_receiver_refuses_a_shared_name():
    spec = {"x": tf.TensorSpec([1], tf.float32)}
    with pytest.raises(ValueError, match=r"\['x'\] are in both"):
        export.build_raw_supervised_input_receiver_fn(spec, spec)


def test_supervised_receiver_from_an_input_fn_has_its_shapes():
    def input_fn(rows):
        features = {"x": tf.zeros([rows, 3]), "s": tf.sparse.from_dense([[1, 0]])}
        return tf.data.Dataset.from_tensors((features, tf.zeros([rows], tf.int64)))

    receiver = export.build_supervised_input_receiver_fn_from_input_fn(input_fn, rows=5)()
    assert receiver.receiver_tensors["x"].shape.as_list() == [None, 3]
    assert isinstance(receiver.features["s"], tf.SparseTensor)
    assert receiver.receiver_tensors["label"].dtype == tf.int64


def test_supervised_receiver_from_an_input_fn_without_labels_raises():
    with pytest.raises(ValueError, match=r"pair \(features, labels\)"):
        export.build_supervised_input_receiver_fn_from_input_fn(lambda: tf.data.Dataset.from_tensors({"x": 1}))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: export.TrainOutput("loss"), "loss 'loss' must be a tensor"),
        (lambda x: export.EvalOutput(x, {"p": 1}), "predictions 'p' must be a tensor"),
        (lambda x: export.EvalOutput(x, x, {"m": x}), "must be a .value, update op. pair"),
    ],
)
def test_supervised_output_of_wrong_parts_raises(make, message):
    with pytest.raises(ValueError, match=message):
        make(placeholder())


def test_supervised_output_names_what_it_gives():
    x = placeholder()
    output = export.EvalOutput({"loss": x}, x, {"m": (x, tf.no_op())})
    definition = output.as_signature_def({"x": x})
    assert sorted(definition.outputs) == ["loss", "metrics/m/update_op", "metrics/m/value", "predictions"]
    assert definition.method_name == "tensorflow/supervised/eval"
