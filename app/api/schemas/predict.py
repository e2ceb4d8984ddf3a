"""TensorFlow Serving's REST bodies, for the OpenAPI document; `app.serving` reads and writes them itself."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_IGNORE_UNKNOWN = "Leave out values that the model has no feature for, so that a whole row of a file is answered."
_WARNINGS = (
    "Answer with `warnings`: missing values, unknown categories, numbers far outside of training, ignored values."
)


class PredictRequest(BaseModel):
    """Either `instances` or `inputs`."""

    model_config = ConfigDict(extra="forbid")

    signature_name: str = Field(default="serving_default", description="Signature that answers; see the metadata.")
    instances: list[Any] | None = Field(default=None, description="Rows: an object of features each.")
    inputs: Any = Field(default=None, description="Columns: an object of feature → list of values.")
    ignore_unknown: bool = Field(default=False, description=_IGNORE_UNKNOWN)
    warnings: bool = Field(default=False, description=_WARNINGS)


class PredictWarning(BaseModel):
    """What was done with one feature."""

    feature: str
    kind: str = Field(description="missing unknown_category far_outside ignored")
    detail: str
    instances: list[int] = Field(description="The first 20 such instances, from 0.")
    count: int = Field(description="Of all such instances.")


class Predictions(BaseModel):
    """`predictions` for `instances`, `outputs` for `inputs`."""

    predictions: list[Any] | None = None
    outputs: Any = None
    warnings: list[PredictWarning] | None = Field(default=None, description="Where the request asks for them.")
    ids: list[str] | None = Field(default=None, description="With `?ids=true`.")


class Examples(BaseModel):
    model_config = ConfigDict(extra="forbid")

    signature_name: str | None = Field(default=None, description="Signature that answers; null: the verb's own.")
    context: dict[str, Any] | None = Field(default=None, description="Features that are the same for all examples.")
    examples: list[dict[str, Any]] = Field(description="Rows: an object of features each.")
    ignore_unknown: bool = Field(default=False, description=_IGNORE_UNKNOWN)
    warnings: bool = Field(default=False, description=_WARNINGS)


class Classifications(BaseModel):
    results: list[list[list[Any]]] = Field(description="For each example: [label, score] pairs.")
    warnings: list[PredictWarning] | None = None
    ids: list[str] | None = Field(default=None, description="With `?ids=true`.")


class Regressions(BaseModel):
    results: list[float]
    warnings: list[PredictWarning] | None = None
    ids: list[str] | None = Field(default=None, description="With `?ids=true`.")


_ROW = {"bill_length_mm": 39.1, "island": "Torgersen"}
PREDICT_EXAMPLES = {
    "rows": {"summary": "By rows", "value": {"instances": [_ROW]}},
    "columns": {"summary": "By columns", "value": {"inputs": {name: [value] for name, value in _ROW.items()}}},
}
CLASSIFY_EXAMPLES = {"examples": {"summary": "One example", "value": {"examples": [_ROW]}}}
REGRESS_EXAMPLES = CLASSIFY_EXAMPLES
PREDICT_BODIES: tuple[type[BaseModel], ...] = (PredictRequest, Examples)
