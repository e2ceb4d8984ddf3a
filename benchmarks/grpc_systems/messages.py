"""A request of some rows in each protocol, and how many of an answer's numbers are wrong."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from app.protocols import oip_schema, tfs_schema

GRPC_PATHS = {
    "tfs_grpc": "/tensorflow.serving.PredictionService/Predict",
    "oip_grpc": "/inference.GRPCInferenceService/ModelInfer",
}
REST_PATHS = {
    "oip_rest_binary": "/v2/models/m/infer",
    "rest_arrow": "/v1/models/m:predict",
    "rest_json": "/v1/models/m:predict",
}
_ARROW = "application/vnd.apache.arrow.stream"
_LENGTH = "inference-header-content-length"
_OUTPUT = "probabilities"


class Case:
    """The rows of a request with the right answer."""

    def __init__(self, exports: Path, rows: int) -> None:
        stored = np.load(exports / "numbers.npz")
        self.expected = stored["expected"][:rows]
        self.inputs = {name: stored[name][:rows] for name in stored.files if name != "expected"}
        self.rows = rows

    def request(self, protocol: str) -> tuple[bytes, dict[str, str]]:
        """The bytes of a request, and headers that HTTP needs."""
        make: Any = getattr(self, f"_{protocol}")
        return make()  # type: ignore[no-any-return]

    def _tfs_grpc(self) -> tuple[bytes, dict[str, str]]:
        request = tfs_schema.PUBLIC.message("tensorflow.serving.PredictRequest")(output_filter=[_OUTPUT])
        request.model_spec.name = "m"
        for name, values in self.inputs.items():
            request.inputs[name].dtype = 1
            request.inputs[name].tensor_content = values.tobytes()
            request.inputs[name].tensor_shape.dim.add(size=self.rows)
        return request.SerializeToString(), {}

    def _oip_grpc(self) -> tuple[bytes, dict[str, str]]:
        request = oip_schema.PUBLIC.message("inference.ModelInferRequest")(model_name="m")
        request.outputs.add(name=_OUTPUT)
        for name, values in self.inputs.items():
            request.inputs.add(name=name, datatype="FP32", shape=[self.rows])
            request.raw_input_contents.append(values.tobytes())
        return request.SerializeToString(), {}

    def _oip_rest_binary(self) -> tuple[bytes, dict[str, str]]:
        inputs = [
            {"name": name, "datatype": "FP32", "shape": [self.rows], "parameters": {"binary_data_size": values.nbytes}}
            for name, values in self.inputs.items()
        ]
        outputs = [{"name": _OUTPUT, "parameters": {"binary_data": True}}]
        head = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
        body = head + b"".join(values.tobytes() for values in self.inputs.values())
        return body, {_LENGTH: str(len(head)), "content-type": "application/octet-stream"}

    def _rest_arrow(self) -> tuple[bytes, dict[str, str]]:
        table = pa.table(self.inputs)
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue(), {"content-type": _ARROW, "accept": _ARROW}

    def _rest_json(self) -> tuple[bytes, dict[str, str]]:
        columns = {name: values.tolist() for name, values in self.inputs.items()}
        instances = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return json.dumps({"instances": instances}).encode(), {"content-type": "application/json"}

    def right(self, protocol: str, answer: bytes, headers: dict[str, str]) -> bool:
        """Whether an answer has the probabilities of the direct call."""
        if protocol == "tfs_grpc":
            message = tfs_schema.PUBLIC.message("tensorflow.serving.PredictResponse").FromString(answer)
            found: Any = np.array(message.outputs[_OUTPUT].float_val)
        elif protocol == "oip_grpc":
            message = oip_schema.PUBLIC.message("inference.ModelInferResponse").FromString(answer)
            found = np.frombuffer(message.raw_output_contents[0], "<f4")
        elif protocol == "oip_rest_binary":
            found = np.frombuffer(answer[int(headers[_LENGTH]) :], "<f4")
        elif protocol == "rest_arrow":
            found = pa.ipc.open_stream(answer).read_all()[_OUTPUT].combine_chunks().flatten().to_numpy()
        else:
            found = np.array([row[_OUTPUT] for row in json.loads(answer)["predictions"]])
        return found.size == self.expected.size and np.allclose(
            found.reshape(self.expected.shape), self.expected, 1e-4, 1e-5
        )
