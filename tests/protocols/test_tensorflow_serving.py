"""TensorFlow Serving's gRPC services, called with messages."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.protocols.conftest import MESSAGE_BYTES, Port, message

PREDICT, CLASSIFY, REGRESS = (f"PredictionService/{name}" for name in ("Predict", "Classify", "Regress"))


def predict_request(model: str = "half", signature: str = "", **inputs: Any) -> Any:
    """Inputs as arrays; numbers go as tensor_content, lists of bytes as strings."""
    request = message("PredictRequest")()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    numbers = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19, "bool": 10}
    for name, given in inputs.items():
        proto = request.inputs[name]
        if isinstance(given, list):
            proto.dtype = 7
            proto.string_val.extend(given)
            proto.tensor_shape.dim.add(size=len(given))
            continue
        proto.dtype = numbers[given.dtype.name]
        proto.tensor_content = given.tobytes()
        for size in given.shape:
            proto.tensor_shape.dim.add(size=size)
    return request


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


def mixed_inputs(rows: int = 2) -> dict[str, Any]:
    return {
        "a": np.full(rows, 0.5, np.float32),
        "n": np.arange(rows, dtype=np.int64),
        "v": np.ones((rows, 2), np.float32),
        "s": [b"x", b"yy"] * (rows // 2),
        "q": np.ones((rows, 3), np.float32),
        "w": [b"u"] * rows,
    }


def test_predict_answers_in_the_dtype_s_own_field_with_the_version(port: Port) -> None:
    answer = port.call(PREDICT, predict_request(x=floats(1, 2, 4)), "PredictResponse")
    # y = x / 2 + 2
    assert list(answer.outputs["y"].float_val) == [2.5, 3.0, 4.0]
    assert [dim.size for dim in answer.outputs["y"].tensor_shape.dim] == [3]
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("half", 1, "serving_default")


def test_version_label_and_signature_choose_what_answers(port: Port) -> None:
    by_number, by_label, other = (predict_request(x=floats(2)) for _ in range(3))
    by_number.model_spec.version.value = 2
    by_label.model_spec.version_label = "canary"
    other.model_spec.signature_name = "regression"
    # version 2 adds 3
    for request in (by_number, by_label):
        answer = port.call(PREDICT, request, "PredictResponse")
        assert (list(answer.outputs["y"].float_val), answer.model_spec.version.value) == ([4.0], 2)
    answer = port.call(PREDICT, other, "PredictResponse")
    assert list(answer.outputs["outputs"].float_val) == [3.0]
    assert [dim.size for dim in answer.outputs["outputs"].tensor_shape.dim] == [1, 1]


def test_a_divided_label_is_divided_and_a_key_keeps_to_its_version(port: Port) -> None:
    port.until(lambda: port.server.service.models.versions["divided", 2].loaded)
    request = predict_request("divided", x=floats(2))

    def ask(key: int) -> float:
        return port.call(PREDICT, request, "PredictResponse", x_request_key=f"user {key}").outputs["y"].float_val[0]

    found = [ask(key) for key in range(20)]
    assert set(found) == {3.0, 4.0}  # x / 2 + 2, x / 2 + 3
    assert [ask(key) for key in range(20)] == found


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "int64", "bool"])
def test_other_dtypes_are_converted_where_they_hold_the_same_values(port: Port, dtype: str) -> None:
    answer = port.call(PREDICT, predict_request(x=np.array([0, 1]).astype(dtype)), "PredictResponse")
    assert list(answer.outputs["y"].float_val) == [2.0, 2.5]


def test_strings_sequences_and_stand_ins_are_as_in_json(port: Port) -> None:
    inputs = mixed_inputs()
    del inputs["a"], inputs["w"]  # a: 0.25 stands in; w: no words
    request = predict_request("mixed", **inputs)
    request.inputs["q_length"].CopyFrom(predict_request(x=np.array([1, 3])).inputs["x"])
    answer = port.call(PREDICT, request, "PredictResponse")
    # a + 10 n + 100 (sum of v) + 1000 (length of s) + 10000 (sum of q, as far as it is long)
    assert list(answer.outputs["total"].float_val) == [0.25 + 200 + 1000 + 10000, 0.25 + 10 + 200 + 2000 + 30000]
    assert list(answer.outputs["words"].int64_val) == [0, 0]
    assert list(answer.outputs["text"].string_val) == [b"x-0", b"yy-1"]


def test_output_filter_leaves_the_others_out(port: Port) -> None:
    inputs = mixed_inputs()
    del inputs["w"]
    request = predict_request("mixed", **inputs)
    request.output_filter.append("text")
    assert list(port.call(PREDICT, request, "PredictResponse").outputs) == ["text"]
    request.output_filter.append("text")
    assert port.refusal(PREDICT, request) == ("INVALID_ARGUMENT", "duplicate output tensor alias: 'text'")
    request.output_filter[1] = "nothing"
    assert port.refusal(PREDICT, request)[0] == "INVALID_ARGUMENT"


def examples_request(context: bool = False) -> Any:
    """Two examples of the model mixed; `v` in the context, where there is one."""
    request = message("ClassificationRequest")()
    request.model_spec.name = "mixed"
    given = request.input.example_list_with_context if context else request.input.example_list
    for share in (0.25, 0.75):
        feature = given.examples.add().features.feature
        feature["a"].float_list.value.append(share)
        feature["n"].int64_list.value.append(1)
        feature["s"].bytes_list.value.append(b"x")
        if not context:
            feature["v"].float_list.value.extend([1, 2])
    if context:
        given.context.features.feature["v"].float_list.value.extend([1, 2])
    return request


@pytest.mark.parametrize("context", [False, True])
def test_classify_answers_labels_with_scores(port: Port, context: bool) -> None:
    answer = port.call(CLASSIFY, examples_request(context), "ClassificationResponse")
    found = [[(one.label, one.score) for one in row.classes] for row in answer.result.classifications]
    assert found == [[("no", 0.25), ("yes", 0.75)], [("no", 0.75), ("yes", 0.25)]]
    assert answer.model_spec.signature_name == "classification"


def test_serialized_examples_are_a_string_input(port: Port) -> None:
    serialized = [one.SerializeToString() for one in examples_request().input.example_list.examples]
    answer = port.call(PREDICT, predict_request("mixed", "examples", examples=serialized), "PredictResponse")
    assert list(answer.outputs["total"].float_val) == [0.25, 0.75]


def _regression() -> Any:
    request = message("RegressionRequest")()
    request.model_spec.name = "half"
    for value in (2.0, 4.0):
        request.input.example_list.examples.add().features.feature["x"].float_list.value.append(value)
    return request


def test_regress_answers_a_value_an_example(port: Port) -> None:
    answer = port.call(REGRESS, _regression(), "RegressionResponse")
    assert [one.value for one in answer.result.regressions] == [3.0, 4.0]


def test_multi_inference_answers_task_by_task(port: Port) -> None:
    request = message("MultiInferenceRequest")()
    request.input.CopyFrom(examples_request().input)
    for method in ("classify", "classify"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name = "mixed"
    answer = port.call("PredictionService/MultiInference", request, "MultiInferenceResponse")
    assert [len(one.classification_result.classifications) for one in answer.results] == [2, 2]
    request.tasks[1].method_name = "tensorflow/serving/regress"
    assert port.refusal("PredictionService/MultiInference", request)[0] == "INVALID_ARGUMENT"
    request.tasks[1].model_spec.name = "half"
    assert "same model" in port.refusal("PredictionService/MultiInference", request)[1]


def test_metadata_has_the_signatures(port: Port) -> None:
    request = message("GetModelMetadataRequest")(metadata_field=["signature_def"])
    request.model_spec.name = "half"
    answer = port.call("PredictionService/GetModelMetadata", request, "GetModelMetadataResponse")
    packed = answer.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    found = message("SignatureDefMap").FromString(packed.value).signature_def
    assert found["regression"].method_name == "tensorflow/serving/regress"
    x = found["serving_default"].inputs["x"]
    assert (x.dtype, [dim.size for dim in x.tensor_shape.dim]) == (1, [-1])
    for fields, word in (([], "at least one"), (["other"], "not supported")):
        wrong = message("GetModelMetadataRequest")(metadata_field=fields)
        code, detail = port.refusal("PredictionService/GetModelMetadata", wrong)
        assert code == "INVALID_ARGUMENT"
        assert word in detail


def test_status_tells_all_versions_or_one(port: Port) -> None:
    request = message("GetModelStatusRequest")()
    request.model_spec.name = "half"
    found = port.call("ModelService/GetModelStatus", request, "GetModelStatusResponse").model_version_status
    assert [(one.version, one.state) for one in found] == [(2, 30), (1, 30)]
    request.model_spec.version.value = 1
    assert len(port.call("ModelService/GetModelStatus", request, "GetModelStatusResponse").model_version_status) == 1
    request.model_spec.version.value = 9
    assert port.refusal("ModelService/GetModelStatus", request)[0] == "NOT_FOUND"


def _named(**changes: Any) -> Any:
    request = predict_request(x=floats(1))
    for name, value in changes.items():
        if name == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, name, value)
    return request


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (_named(name=""), "INVALID_ARGUMENT"),
        (_named(name="nobody"), "NOT_FOUND"),
        (_named(version=7), "NOT_FOUND"),
        (_named(version_label="nobody"), "NOT_FOUND"),
        (_named(signature_name="nobody"), "FAILED_PRECONDITION"),
        (predict_request(), "INVALID_ARGUMENT"),
        (predict_request(y=floats(1)), "INVALID_ARGUMENT"),
        (predict_request(x=np.float32(1).reshape(())), "INVALID_ARGUMENT"),
        (predict_request(x=np.ones((2, 2), np.float32)), "INVALID_ARGUMENT"),
        (predict_request(x=floats()), "INVALID_ARGUMENT"),
        (predict_request(x=[b"text"]), "INVALID_ARGUMENT"),
        (predict_request(x=np.array([1e300])), "INVALID_ARGUMENT"),
        (predict_request("picky", x=np.array([1.5])), "INVALID_ARGUMENT"),
        (predict_request("picky", x=np.array([7])), "INVALID_ARGUMENT"),
        (predict_request("mixed", **{**mixed_inputs(), "n": np.arange(3)}), "INVALID_ARGUMENT"),
    ],
)
def test_status_codes_are_those_of_tensorflow_serving(port: Port, request_: Any, code: str) -> None:
    assert port.refusal(PREDICT, request_)[0] == code


def test_one_wrong_request_does_not_fail_its_neighbours(port: Port) -> None:
    def ask(value: int) -> Any:
        try:
            answer = port.call(PREDICT, predict_request("picky", x=np.array([value])), "PredictResponse")
            return answer.outputs["y"].float_val[0]
        except grpc.RpcError as error:
            return error.code().name

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, [0, 9, 1, 2, 9, 3, 4, 0]))
    assert found == [10.0, "INVALID_ARGUMENT", 11.0, 12.0, "INVALID_ARGUMENT", 13.0, 14.0, 10.0]


@contextmanager
def no_calls(port: Port) -> Iterator[None]:
    """Lets requests wait: the batcher has no predictor meanwhile."""
    batcher = port.server.service.batcher
    predictor = batcher.predictor

    async def put(found: Any) -> None:
        batcher.predictor = found
        batcher._pump()

    port.server.call(put(None))
    try:
        yield
    finally:
        port.server.call(put(predictor))


def test_grpc_and_json_share_batches(port: Port) -> None:
    queue = port.server.service.models.versions["half", 1].queue
    assert queue is not None
    with ThreadPoolExecutor(2) as pool:
        with no_calls(port):
            by_grpc = pool.submit(port.call, PREDICT, predict_request(x=floats(1, 2)), "PredictResponse")
            by_json = pool.submit(port.server.post, "half/versions/1:predict", {"instances": [{"x": 4.0}]})
            port.until(lambda: len(queue.waiting) == 2)
        assert list(by_grpc.result().outputs["y"].float_val) == [2.5, 3.0]
        assert by_json.result().json() == {"predictions": [4.0]}
        assert by_json.result().headers["x-batch-rows"] == "3"


def test_a_request_that_nobody_waits_for_is_not_computed(port: Port) -> None:
    queue = port.server.service.models.versions["half", 2].queue
    assert queue is not None
    request = predict_request(x=floats(1))
    request.model_spec.version.value = 2
    before = sum(queue.metrics.batch_rows.counts)
    with no_calls(port):
        assert port.refusal(PREDICT, request, timeout=0.2)[0] == "DEADLINE_EXCEEDED"
    port.until(lambda: queue.idle)
    assert sum(queue.metrics.batch_rows.counts) == before


@pytest.mark.parametrize(
    ("token", "code"), [(None, "UNAUTHENTICATED"), ("wrong", "UNAUTHENTICATED"), ("reader", "PERMISSION_DENIED")]
)
def test_tokens_and_scopes_are_those_of_http(port: Port, token: str | None, code: str) -> None:
    assert port.refusal(PREDICT, predict_request(x=floats(1)), token=token)[0] == code
    if token == "reader":
        request = message("GetModelStatusRequest")()
        request.model_spec.name = "half"
        assert port.call("ModelService/GetModelStatus", request, "GetModelStatusResponse", token=token)


def test_limits_of_the_message_and_of_the_token(port: Port) -> None:
    too_long = predict_request(x=np.zeros(MESSAGE_BYTES, np.float32))
    assert port.refusal(PREDICT, too_long)[0] == "RESOURCE_EXHAUSTED"
    assert port.refusal("PredictionService/Nothing", too_long)[0] == "UNIMPLEMENTED"


def test_health_follows_readiness(port: Port) -> None:
    stub = health_pb2_grpc.HealthStub(port.channel)
    request = health_pb2.HealthCheckRequest(service="tensorflow.serving.PredictionService")
    seen = [update.status for update in [next(iter(stub.Watch(request)))]]
    assert seen == [1]
    port.ready = False
    updates = stub.Watch(request, timeout=60)
    assert any(update.status == 2 for update in updates)
    port.ready = True
    assert any(update.status == 1 for update in stub.Watch(request, timeout=60))
    updates.cancel()


def test_reflection_describes_the_services(port: Port) -> None:
    database = ProtoReflectionDescriptorDatabase(port.channel)
    assert "tensorflow.serving.PredictionService" in database.get_services()
    file = database.FindFileContainingSymbol("tensorflow.serving.PredictionService")
    assert {method.name for method in file.service[0].method} >= {"Predict", "Classify", "Regress"}


def test_calls_are_counted(port: Port) -> None:
    port.call(PREDICT, predict_request(x=floats(1)), "PredictResponse")
    path = "/tensorflow.serving.PredictionService/Predict"
    requests = next(iter(port.traffic.collect()))
    found = [
        sample.value
        for sample in requests.samples
        if sample.labels == {"method": "gRPC", "route": path, "status": "200"}
    ]
    assert found[0] >= 1
