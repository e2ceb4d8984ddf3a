"""Bodies of a model's serving settings."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from app.api.schemas.view import Request, View
from app.config import MOST_LANES
from app.serving.model_limits import DEFAULT_PRIORITY


class ServingUpdate(Request):
    batch_rows: int | None = Field(
        default=None,
        ge=1,
        description="Rows of one batch, and of one TensorFlow call: a request with more is computed in parts. At most "
        "`PREDICT_MAX_BATCH_ROWS`, which holds where it is left out.",
    )
    queue_rows: int | None = Field(
        default=None,
        ge=1,
        description="Rows of one version that may wait in a lane; a request that would be more is answered 429, unless "
        "none wait. At most `PREDICT_MAX_QUEUE_ROWS`, which all models share.",
    )
    timeout_s: float | None = Field(
        default=None,
        ge=0.05,
        le=3600,
        description="What a request may take from its arrival, to a quarter of a second; then 504, or 503 while the "
        "version is being loaded. Left out: `PREDICT_TIMEOUT_S`. It may be longer.",
    )
    memory_bytes: int | None = Field(
        default=None,
        ge=1,
        le=2**53,
        description="What a new version may take of the memory for models, measured by its files. A larger one is not "
        "loaded: it is FAILED, and says so. Versions that were loaded before stay.",
    )
    priority: int | None = Field(
        default=None,
        ge=0,
        le=9,
        description=f"0 comes first, 9 last; left out: {DEFAULT_PRIORITY}. Where versions of several models wait for a "
        "predictor, the first have their turn, and one that is passed over gains a step each time; where memory is "
        "short, the last are unloaded first.",
    )
    lanes: int | None = Field(
        default=None,
        ge=1,
        le=MOST_LANES,
        description="Lanes of a host that have the model in memory, where there are more; left out: all. The others "
        "send its batches to them.",
    )
    engine: Literal["tensorflow", "onnx"] | None = Field(
        default=None,
        description="What computes the answers; left out: tensorflow. onnx: ONNX Runtime, for the signatures that "
        "tf2onnx converts and whose answers are TensorFlow's on the version's own rows and on made ones; TensorFlow "
        "for all others. A version's status (`engine`) tells which, and why.",
    )

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"batch_rows": 256, "timeout_s": 30.0}]}
    )


class ServingInForce(View):
    batch_rows: int
    queue_rows: int
    timeout_s: float
    memory_bytes: int
    priority: int
    lanes: int
    engine: str


class ServingView(View):
    model: str
    batch_rows: int | None
    queue_rows: int | None
    timeout_s: float | None
    memory_bytes: int | None
    priority: int | None
    lanes: int | None
    engine: str | None
    in_force: ServingInForce = Field(
        description="What holds on this host, the service's settings where the model has none of its own. "
        "`memory_bytes` is that of one lane."
    )
    revision: int = Field(description="Raised by each change; the ETag.")
