"""BentoML with its adaptive batching on, one worker: `bentoml_service:Predictor`."""

from __future__ import annotations

from typing import Any

import bentoml
from row_model import RowModel


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 100_000})
class Predictor:
    def __init__(self) -> None:
        self.model = RowModel()

    @bentoml.api(batchable=True, max_batch_size=1024, max_latency_ms=10_000, route="/v1/models/m:predict")
    def predict(self, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self.model.rows(instances)
