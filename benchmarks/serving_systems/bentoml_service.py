"""BentoML with its adaptive batching on, one worker: `bentoml_service:Predictor`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import bentoml
import tensorflow as tf

EXPORT = Path(os.environ["EXPORTS"]) / os.environ["MODEL"]
_features = json.loads((EXPORT / "assets.extra" / "serving.json").read_text())["features"]


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 100_000})
class Predictor:
    def __init__(self) -> None:
        self.model = tf.saved_model.load(str(EXPORT))
        self.call = self.model.signatures["serving_default"]

    @bentoml.api(batchable=True, max_batch_size=1024, max_latency_ms=10_000, route="/v1/models/m:predict")
    def predict(self, instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        columns = {f["name"]: tf.constant([row[f["name"]] for row in instances]) for f in _features}
        lists = {}
        for name, tensor in self.call(**columns).items():
            values = tensor.numpy()
            words = values.dtype == object
            lists[name] = [[item.decode() for item in row] for row in values] if words else values.tolist()
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
