"""Run in an environment with `tensorflow-serving-api`: ADDRESS TOKEN. Prints what its stubs get, as JSON."""

import json
import sys

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)


def example(**values):
    feature = {}
    for name, value in values.items():
        if isinstance(value[0], bytes):
            feature[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=value))
        elif isinstance(value[0], int):
            feature[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        else:
            feature[name] = tf.train.Feature(float_list=tf.train.FloatList(value=value))
    return tf.train.Example(features=tf.train.Features(feature=feature))


def main(address, token):
    channel = grpc.insecure_channel(address)
    predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    options = {"metadata": [("authorization", f"Bearer {token}")], "timeout": 20}
    found = {}

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half"
    request.model_spec.version_label = "canary"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.array([1.0, 2.0], np.float32)))
    answer = predictions.Predict(request, **options)
    found["predict"] = tf.make_ndarray(answer.outputs["y"]).tolist()
    found["float_val"] = list(answer.outputs["y"].float_val)
    found["version"] = answer.model_spec.version.value

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "mixed"
    inputs = {
        "a": tf.constant([0.5, 0.5]),
        "n": tf.constant([1, 2], tf.int64),
        "v": tf.constant([[1.0, 2.0], [1.0, 2.0]]),
        "s": tf.constant(["x", "yy"]),
        "q": tf.constant([[1.0], [2.0]]),
        "w": tf.constant([["b"], ["c"]]),
    }
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    answer = predictions.Predict(request, **options)
    found["total"] = tf.make_ndarray(answer.outputs["total"]).tolist()
    found["text"] = [value.decode() for value in tf.make_ndarray(answer.outputs["text"]).tolist()]

    found |= ask_examples(predictions, options)
    found |= ask_models(predictions, models, options)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "nobody"
    try:
        predictions.Predict(request, **options)
    except grpc.RpcError as error:
        found["error"] = error.code().name
    print(json.dumps(found))


def ask_examples(predictions, options):
    found = {}
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "mixed"
    request.input.example_list.examples.append(example(a=[0.25], n=[1], v=[1.0, 2.0], s=[b"x"]))
    result = predictions.Classify(request, **options).result
    found["classes"] = [[one.label, one.score] for one in result.classifications[0].classes]

    request = regression_pb2.RegressionRequest()
    request.model_spec.name = "half"
    request.input.example_list.examples.append(example(x=[2.0]))
    found["regress"] = [one.value for one in predictions.Regress(request, **options).result.regressions]

    request = inference_pb2.MultiInferenceRequest()
    request.input.example_list.examples.append(example(x=[2.0]))
    for _ in range(2):
        task = request.tasks.add(method_name="tensorflow/serving/regress")
        task.model_spec.name = "half"
    results = predictions.MultiInference(request, **options).results
    found["multi"] = [one.regression_result.regressions[0].value for one in results]

    return found


def ask_models(predictions, models, options):
    found = {}
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "half"
    packed = predictions.GetModelMetadata(request, **options).metadata["signature_def"]
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert packed.Unpack(signatures)
    found["signatures"] = sorted(signatures.signature_def)

    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "half"
    status = json_format.MessageToDict(models.GetModelStatus(request, **options))
    found["status"] = [[one["version"], one["state"]] for one in status["model_version_status"]]
    return found


main(*sys.argv[1:])
