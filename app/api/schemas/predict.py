"""TensorFlow Serving's REST bodies, for the OpenAPI document; `app.serving` reads and writes them itself."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class PredictRequest(BaseModel):
    """Either `instances` or `inputs`."""

    model_config = ConfigDict(extra="forbid")

    signature_name: str = Field(default="serving_default")
    instances: list[Any] | None = Field(default=None, description="Rows: an object of features each.")
    inputs: Any = Field(default=None, description="Columns: an object of feature → list of values.")


class Predictions(BaseModel):
    """`predictions` for `instances`, `outputs` for `inputs`."""

    predictions: list[Any] | None = None
    outputs: Any = None


class Examples(BaseModel):
    model_config = ConfigDict(extra="forbid")

    signature_name: str | None = None
    context: dict[str, Any] | None = Field(default=None, description="Features that are the same for all examples.")
    examples: list[dict[str, Any]]


class Classifications(BaseModel):
    results: list[list[list[Any]]] = Field(description="For each example: [label, score] pairs.")


class Regressions(BaseModel):
    results: list[float]


_ROW = {"bill_length_mm": 39.1, "island": "Torgersen"}
PREDICT_EXAMPLES = {
    "rows": {"summary": "By rows", "value": {"instances": [_ROW]}},
    "columns": {"summary": "By columns", "value": {"inputs": {name: [value] for name, value in _ROW.items()}}},
}
CLASSIFY_EXAMPLES = {"examples": {"summary": "One example", "value": {"examples": [_ROW]}}}
REGRESS_EXAMPLES = CLASSIFY_EXAMPLES
PREDICT_BODIES: tuple[type[BaseModel], ...] = (PredictRequest, Examples)
