"""LitServe with batches of up to 128 requests, one worker: `litserve_service.py PORT`."""

from __future__ import annotations

import sys
from typing import Any

import litserve
from row_model import RowModel

Rows = list[dict[str, Any]]


class Predictor(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = RowModel()

    # LitServe reads these two signatures: types would be a query parameter, and a model to check each answer with.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return request["instances"]

    def batch(self, inputs: list[Rows]) -> list[Rows]:
        return inputs

    def predict(self, batch: list[Rows]) -> list[Rows]:
        return self.model.requests(batch)

    def unbatch(self, output: list[Rows]) -> list[Rows]:
        return output

    def encode_response(self, output):  # type: ignore[no-untyped-def]
        return {"predictions": output}


if __name__ == "__main__":
    predictor = Predictor(max_batch_size=128, batch_timeout=0.002, api_path="/v1/models/m:predict")
    server = litserve.LitServer(predictor, accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="error", generate_client_file=False)
