"""Run in an environment with `tritonclient[http,grpc]`: HTTP-ADDRESS GRPC-ADDRESS TOKEN. Prints what it gets."""

import json
import sys

import ml_dtypes
import numpy as np
import tritonclient.grpc
import tritonclient.http


def ask(library, client, headers, typed):
    """The same with either client."""
    options = {"headers": headers}

    def tensor(name, array, datatype):
        made = library.InferInput(name, list(array.shape), datatype)
        made.set_data_from_numpy(array)
        return made

    found = {"live": client.is_server_live(**options), "ready": client.is_server_ready(**options)}
    found["model ready"] = client.is_model_ready("half", **options)
    found["version ready"] = client.is_model_ready("half", "2", **options)
    found["nobody ready"] = client.is_model_ready("nobody", **options)
    x = np.array([1.0, 2.0], np.float32)
    for datatype, dtype in (
        ("FP32", np.float32),
        ("FP16", np.float16),
        ("BF16", ml_dtypes.bfloat16),
        ("FP64", np.float64),
    ):
        array = x.astype(dtype)
        answer = client.infer("half", [tensor("x", array, datatype)], **options)
        found[datatype] = answer.as_numpy("y").tolist()
    answer = client.infer("half", [tensor("x", x, "FP32")], model_version="2", request_id="7", **options)
    response = answer.get_response(as_json=True) if typed else answer.get_response()
    found["version"] = [answer.as_numpy("y").tolist(), response["model_version"], response["id"]]
    inputs = [
        tensor("n", np.array([1, 2], np.int64), "INT64"),
        tensor("v", np.ones((2, 2), np.float32), "FP32"),
        tensor("s", np.array([b"x", b"yy"], np.object_), "BYTES"),
        tensor("q", np.ones((2, 1), np.float32), "FP32"),
    ]
    outputs = [library.InferRequestedOutput("text"), library.InferRequestedOutput("words")]
    answer = client.infer("mixed", inputs, outputs=outputs, **options)
    found["text"] = [value.decode() for value in answer.as_numpy("text").tolist()]
    found["words"] = answer.as_numpy("words").tolist()
    metadata = client.get_model_metadata("half", **options, **({"as_json": True} if typed else {}))
    found["inputs"] = [
        [one["name"], one["datatype"], [int(size) for size in one["shape"]]] for one in metadata["inputs"]
    ]
    found["server"] = client.get_server_metadata(**options, **({"as_json": True} if typed else {}))["name"]
    try:
        client.infer("nobody", [tensor("x", x, "FP32")], **options)
    except Exception as error:
        found["error"] = str(error.message())
    return found


def main(http, rpc, token):
    headers = {"authorization": f"Bearer {token}"}
    with tritonclient.http.InferenceServerClient(http) as client:
        found = {"http": ask(tritonclient.http, client, headers, False)}
        x = tritonclient.http.InferInput("x", [2], "FP32")
        x.set_data_from_numpy(np.array([1.0, 2.0], np.float32), binary_data=False)
        y = tritonclient.http.InferRequestedOutput("y", binary_data=False)
        answer = client.infer("half", [x], outputs=[y], headers=headers)
        found["json"] = answer.as_numpy("y").tolist()
    with tritonclient.grpc.InferenceServerClient(rpc) as client:
        found["grpc"] = ask(tritonclient.grpc, client, {"authorization": f"Bearer {token}"}, True)
    print(json.dumps(found))


main(*sys.argv[1:])
