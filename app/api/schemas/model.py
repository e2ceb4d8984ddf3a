"""Models, versions and labels. The names of TensorFlow Serving's REST API are kept."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from app.api.schemas.job import EvaluationView
from app.api.schemas.view import Json, Request, Time, View
from app.serving.split import KEY_HEADER

HeaderName = Annotated[
    str, Field(pattern="^x-[a-z0-9-]{1,60}$", description="A header of requests, in lower case.", examples=["x-user"])
]


class CanaryUpdate(Request):
    version: int = Field(ge=1, le=2**31 - 1, description="Number of the version that answers the share.")
    per_mille: int = Field(ge=0, le=1000, description="Share of requests that this version answers, per mille.")
    by: HeaderName = Field(
        default=KEY_HEADER,
        description="Requests with the same value of this header get the same version; "
        "those without it are assigned at random.",
    )


class CanaryView(View):
    version: int
    per_mille: int
    by: str


class LabelView(View):
    model: str
    label: str
    version: int
    canary: CanaryView | None = Field(description="The version that answers a share of the requests.")
    shadow: int | None = Field(description="The version that gets copies of requests.")
    previous: int | None = Field(description="The version before, kept warm for a quick way back.")
    revision: int = Field(description="Raised by each change; the ETag.")
    updated_at: Time
    pending: bool = Field(
        description="Lanes of this host may still answer by the label as it was: not all followed within two seconds. "
        "False where predictions are answered elsewhere."
    )


class LabelUpdate(Request):
    version: int = Field(ge=1, le=2**31 - 1, description="Number of the version to point to.")
    canary: CanaryUpdate | None = Field(default=None, description="Left out: all requests go to `version`.")
    shadow: int | None = Field(
        default=None,
        ge=1,
        le=2**31 - 1,
        description="A version that gets copies of requests; its answers are compared and never returned.",
    )

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"version": 1}]})


class StatusError(View):
    error_code: str = Field(examples=["OK"])
    error_message: str


class VersionStatus(View):
    """Model status in TensorFlow Serving's form."""

    version: str = Field(examples=["1"])
    state: str = Field(description="START LOADING AVAILABLE UNLOADING END")
    status: StatusError


class VersionView(View):
    """A version as we have it on record."""

    version: int
    state: str = Field(description="STORED STAGED AVAILABLE FAILED REFUSED")
    reason: str | None = Field(description="Why it failed or was refused.")
    lineage_id: str = Field(description="Also in the headers of each answer that the version gives.")
    job: str
    export: str
    labels: list[str]
    created_at: Time
    lineage: Json | None = Field(
        default=None, description="Job, attempt, checkpoint, data set digests, export digest, engine version."
    )
    evaluations: list[EvaluationView] | None = Field(default=None, description="Of the checkpoint it was made from.")


class EngineView(View):
    """What computes a version's answers in the API process that was asked."""

    asked: str = Field(description="The model's serving setting `engine`.")
    signatures: dict[str, str] = Field(
        description="tensorflow or onnx, of each signature.", examples=[{"serving_default": "onnx"}]
    )
    reasons: dict[str, str] = Field(description="Of signatures: why TensorFlow, where `onnx` was asked for.")


class ModelStatus(View):
    model_version_status: list[VersionStatus]
    name: str
    labels: dict[str, int] = Field(examples=[{"latest": 1}])
    versions: list[VersionView]
    previous: int | None = Field(
        default=None, description="Of one label: the version that it pointed to before, to which one can roll back."
    )
    canary: CanaryView | None = Field(default=None, description="Of one label: the version that gets a share of it.")
    shadow: int | None = Field(default=None, description="Of one label: the version that gets copies of requests.")
    arms: list[Json] | None = Field(
        default=None,
        description="Of one label that divides its requests: what was counted of each version since it was set so.",
    )
    engine: EngineView | None = Field(
        default=None, description="Of one version that is in memory: what computes its answers."
    )
    next_page_token: str | None = None


class ModelSummary(View):
    name: str
    labels: dict[str, int]
    live_versions: list[int] = Field(description="AVAILABLE versions that a label points to.")
    created_at: Time
    model_version_status: list[VersionStatus] | None = Field(
        default=None, description="With `states`: the newest versions with their states, at most 100."
    )


class ModelList(View):
    models: list[ModelSummary]
    next_page_token: str | None


class VersionEvaluation(EvaluationView):
    """A measurement of the checkpoint that a version was made from."""

    version: int


class ModelEvaluationList(View):
    evaluations: list[VersionEvaluation]


class RequestSample(View):
    """A prediction with this version, ready to be sent."""

    path: str = Field(description="To `POST` the body to.", examples=["/v1/models/penguins/versions/1:predict"])
    body: Json = Field(description="Of the request; it has one example row.")
    curl: str = Field(description="The request for a shell in which `TOKEN` is set.")
    python: str = Field(description="The request with the Python client.")


class Metadata(View):
    """TensorFlow Serving's metadata, and what the predictor knows of the features."""

    model_spec: dict[str, str]
    metadata: dict[str, Any]
    lineage_id: str
    estimator: str
    global_step: int | None
    features: list[Json]
    label_vocabulary: Any
    examples: list[Json] = Field(description="Rows that can be sent as `instances`.")
    usage: RequestSample | None = Field(
        description="A request that works; null where the export brought no example row."
    )
