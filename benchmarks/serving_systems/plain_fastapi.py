"""What people write first: FastAPI, pydantic, one constant a feature, the signature called per request."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import tensorflow as tf
from fastapi import FastAPI
from pydantic import create_model

EXPORT = Path(os.environ["EXPORTS"]) / os.environ["MODEL"]
_features = json.loads((EXPORT / "assets.extra" / "serving.json").read_text())["features"]
_types: dict[str, Any] = {"float32": (float, ...), "string": (str, ...)}
Row: Any = create_model("Row", **{feature["name"]: _types[feature["dtype"]] for feature in _features})
Body: Any = create_model("Body", instances=(list[Row], ...))

_model = tf.saved_model.load(str(EXPORT))
_predict = _model.signatures["serving_default"]
app = FastAPI()


def _answer(body: Any) -> dict[str, Any]:
    columns = {f["name"]: tf.constant([getattr(row, f["name"]) for row in body.instances]) for f in _features}
    outputs = _predict(**columns)
    lists = {}
    for name, tensor in outputs.items():
        values = tensor.numpy()
        lists[name] = [[item.decode() for item in row] for row in values] if values.dtype == object else values.tolist()
    return {"predictions": [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]}


if os.environ.get("ASYNC") == "1":

    @app.post("/v1/models/m:predict")
    async def predict_async(body: Body) -> dict[str, Any]:
        return _answer(body)

else:

    @app.post("/v1/models/m:predict")
    def predict(body: Body) -> dict[str, Any]:
        return _answer(body)
