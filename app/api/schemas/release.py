"""Releases."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from app.api.schemas.model import HeaderName
from app.api.schemas.view import Json, Name, Request, Time, View
from app.releases.release_plan import Guards, ReleasePlan, ReleaseStep
from app.serving.split import KEY_HEADER

Rate = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=30 * 86_400)]
_GUARDS = Guards()


class GuardsUpdate(Request):
    """How much worse than the live version the new one may be; null: not evaluated."""

    error_rate: Rate | None = Field(
        default=_GUARDS.error_rate, description="Share of failed requests beyond the live version's."
    )
    p99_ratio: float | None = Field(
        default=_GUARDS.p99_ratio, ge=1, le=1000, description="99th percentile of times against the live version's."
    )
    disagreement: Rate | None = Field(
        default=_GUARDS.disagreement,
        description="Share of a shadow's answers that are not the live version's: other classes, else other numbers.",
    )
    quality: float | None = Field(
        default=_GUARDS.quality,
        ge=0,
        le=10,
        description="By labels that come back: share of wrong classes beyond the live version's, or by how much of it "
        "the mean absolute error may be larger. The model's requests must be kept (`PUT …/keep`).",
    )
    window_s: float = Field(
        default=_GUARDS.window_s,
        ge=0.5,
        le=3600,
        description="Guards evaluate the last `window_s` seconds and the whole step.",
    )


class StepUpdate(Request):
    shadow: bool = Field(
        default=False,
        description="The new version gets copies of requests; its answers are compared and never returned. "
        "Excludes `per_mille`.",
    )
    per_mille: int = Field(
        default=0, ge=0, le=999, description="Share of requests that the new version answers, per mille."
    )
    seconds: Seconds = Field(default=300.0, description="Minimum duration of the step in seconds.")
    min_requests: int = Field(
        default=100, ge=0, description="Minimum number of requests of the new version before the step ends."
    )
    guards: GuardsUpdate | None = Field(
        default=None, description="Guards of this step; fields that are left out have the plan's values."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.shadow == bool(self.per_mille):
            raise ValueError("A step has either `shadow: true` or a `per_mille` of 1 and more.")
        return self


class ReleaseRequest(Request):
    version: int = Field(ge=1, le=2**31 - 1, description="The new version; it must be AVAILABLE.")
    label: Name = Field(default="latest", description="The label that is to point to it.")
    steps: list[StepUpdate] = Field(
        default=[StepUpdate(per_mille=10), StepUpdate(per_mille=100), StepUpdate(per_mille=500)],
        min_length=1,
        max_length=20,
        description="One after the other; after the last one the label points to the new version.",
    )
    guards: GuardsUpdate = Field(default=GuardsUpdate(), description="Guards of the steps that have none of their own.")
    by: HeaderName = Field(
        default=KEY_HEADER, description="Requests with the same value of this header get the same version."
    )

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"version": 2, "steps": [{"per_mille": 50, "seconds": 600, "min_requests": 500}]}]
        },
    )

    def plan(self) -> ReleasePlan:
        steps = [
            ReleaseStep(
                step.per_mille,
                step.seconds,
                step.min_requests,
                {} if step.guards is None else step.guards.model_dump(exclude_unset=True),
                step.shadow,
            )
            for step in self.steps
        ]
        return ReleasePlan(tuple(steps), Guards(**self.guards.model_dump()), self.by)


class ReleaseEventView(View):
    id: int
    at: Time
    kind: str = Field(description="started step paused resumed done rolled_back aborted")
    step: int
    detail: Json = Field(description="Evidence at that time: findings of the guards, counts of both versions.")


class ReleaseView(View):
    id: str
    model: str
    label: str
    version: int = Field(description="Number of the new version.")
    base: int = Field(description="Number of the version that served before, and to which a rollback returns.")
    state: str = Field(description="RUNNING PAUSED DONE ROLLED_BACK ABORTED")
    step: int = Field(description="Index of the current step, from 0.")
    plan: Json
    reason: str | None = Field(description="Why it ended.")
    created_at: Time
    created_by: str | None
    ended_at: Time | None


class ReleaseDetail(ReleaseView):
    ran_s: float = Field(description="Seconds that the current step has run, without pauses.")
    waits_for: str | None = Field(description="Why the current step has not ended yet.")
    findings: list[Json] = Field(description="Current finding of each guard.")
    arms: list[Json] = Field(description="Requests, errors and times of both versions in this step.")
    events: list[ReleaseEventView]


class ReleaseList(View):
    releases: list[ReleaseView]
    next_page_token: str | None
