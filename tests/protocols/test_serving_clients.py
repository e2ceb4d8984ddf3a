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
