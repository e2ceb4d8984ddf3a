"""Run in an environment with `ovmsclient`: ADDRESS TOKEN. Prints what it gets, as JSON."""

import json
import sys

import grpc
import numpy as np
from ovmsclient import make_grpc_client
from ovmsclient.tfs_compat.protos.tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)


class WithToken(grpc.UnaryUnaryClientInterceptor):
    """Adds the token to each call; the client has no argument for it."""

    def __init__(self, token):
        self.metadata = [("authorization", f"Bearer {token}")]

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(details._replace(metadata=self.metadata), request)


def main(address, token):
    client = make_grpc_client(address)
    channel = grpc.intercept_channel(client.channel, WithToken(token))
    client.prediction_service_stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    client.model_service_stub = model_service_pb2_grpc.ModelServiceStub(channel)
    found = {}
    found["predict"] = client.predict({"x": np.array([1.0, 2.0], np.float32)}, "half").tolist()
    found["version"] = client.predict({"x": np.array([1.0, 2.0], np.float32)}, "half", 2).tolist()
    outputs = client.predict(
        {
            "n": np.array([1, 2]),
            "v": np.ones((2, 2), np.float32),
            "s": [b"x", b"yy"],
            "q": np.ones((2, 1), np.float32),
        },
        "mixed",
    )
    found["text"] = [value.decode() for value in outputs["text"].tolist()]
    metadata = client.get_model_metadata("half")
    found["inputs"] = metadata["inputs"]
    found["status"] = {str(key): value["state"] for key, value in client.get_model_status("half").items()}
    try:
        client.predict({"x": np.array([1.0])}, "nobody")
    except Exception as error:
        found["error"] = type(error).__name__
    print(json.dumps(found, default=str))


main(*sys.argv[1:])
