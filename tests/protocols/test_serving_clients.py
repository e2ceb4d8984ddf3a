"""Clients of other serving systems, as they are published, against the service. `scripts/serving-clients` has them."""

from __future__ import annotations

import pytest

from tests.protocols import serving_clients
from tests.protocols.conftest import Port

pytestmark = pytest.mark.skipif(
    bool(serving_clients.missing()), reason="scripts/serving-clients makes the clients' environments"
)


def test_stubs_of_tensorflow_serving_api(port: Port) -> None:
    found = serving_clients.run(
        "tensorflow-serving-api", "tensorflow_serving_api.py", f"127.0.0.1:{port.number}", "asker"
    )
    assert found == {
        "predict": [3.5, 4.0],  # x / 2 + 3
        "float_val": [3.5, 4.0],
        "version": 2,
        "total": [11310.5, 22320.5],  # a + 10 n + 100 (sum of v) + 1000 (length of s) + 10000 q
        "text": ["x-1", "yy-2"],
        "classes": [["no", 0.25], ["yes", 0.75]],
        "regress": [3.0],
        "multi": [3.0, 3.0],
        "signatures": ["predict", "regression", "serving_default"],
        "status": [["2", "AVAILABLE"], ["1", "AVAILABLE"]],
        "error": "NOT_FOUND",
    }


def test_ovmsclient(port: Port) -> None:
    found = serving_clients.run("ovmsclient", "ovms_client.py", f"127.0.0.1:{port.number}", "asker")
    assert found == {
        "predict": [2.5, 3.0],
        "version": [3.5, 4.0],
        "text": ["x-1", "yy-2"],
        "inputs": {"x": {"shape": [-1], "dtype": "DT_FLOAT"}},
        "status": {"1": "AVAILABLE", "2": "AVAILABLE"},
        "error": "ModelNotFoundError",
    }


TRITON = {
    "live": True,
    "ready": True,
    "model ready": True,
    "version ready": True,
    "nobody ready": False,
    "FP32": [2.5, 3.0],
    "FP16": [2.5, 3.0],
    "BF16": [2.5, 3.0],
    "FP64": [2.5, 3.0],
    "version": [[3.5, 4.0], "2", "7"],
    "text": ["x-1", "yy-2"],
    "words": [0, 0],
    "inputs": [["x", "FP32", [-1]]],
    "server": "estimator-service",
    "error": "There is no model 'nobody'.",
}


def test_tritonclient_over_http_and_grpc(port: Port) -> None:
    addresses = (port.http_address, f"127.0.0.1:{port.number}")
    found = serving_clients.run("tritonclient", "triton_client.py", *addresses, "asker")
    assert found == {"http": TRITON, "json": [2.5, 3.0], "grpc": TRITON}


def test_kserve_over_rest_and_grpc(port: Port) -> None:
    addresses = (port.http_address, f"127.0.0.1:{port.number}")
    found = serving_clients.run("kserve", "kserve_client.py", *addresses, "asker")
    assert "There is no model 'nobody'." in found["rest"].pop("error")
    ready = {"live": True, "ready": True, "model ready": True}
    answers = {"json": [2.5, 3.0], "FP32": [2.5, 3.0], "FP16": [2.5, 3.0]}
    assert found["rest"] == {**ready, **answers}
    assert found["grpc"] == {**ready, "binary False": [2.5, 3.0], "binary True": [2.5, 3.0]}
