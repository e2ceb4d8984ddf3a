"""Kept requests, labels that come back, and what they say."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from app.api.schemas.view import Json, Request, View
from app.ids import NAME_PATTERN

LabelValue = Annotated[str, Field(max_length=1000)] | bool | int | float
FeatureName = Annotated[str, Field(min_length=1, max_length=200)]


class KeepUpdate(Request):
    per_mille: int = Field(ge=0, le=1000, description="Share of requests that are kept, per mille; 0: none.")
    days: float = Field(default=30.0, gt=0, le=3660, description="Number of days that a kept request stays.")
    bytes: int = Field(
        default=2**30,
        ge=2**20,
        description="Maximum size of the files in bytes; the oldest requests are removed first.",
    )
    redact: list[FeatureName] = Field(default=[], max_length=1000, description="Features whose values are not kept.")


class KeepView(View):
    model: str
    per_mille: int
    days: float
    bytes: int
    redact: list[str]
    files: int
    rows: int = Field(description="Instances that are kept now.")
    kept_bytes: int


class FeedbackItem(Request):
    prediction_id: str = Field(
        pattern=r"^pred_[0-9a-z]{16,40}(\.[0-9]{1,9})?$",
        description="`x-prediction-id` of a response, a point and the instance's number; without these the first.",
        examples=["pred_01k9zv0q2m8x4t6b0000000001.0"],
    )
    label: LabelValue = Field(description="What the prediction should have been: a class, or a number.")


class FeedbackRequest(Request):
    items: list[FeedbackItem] = Field(min_length=1, max_length=1000, description="At most 1,000.")

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"items": [{"prediction_id": "pred_01k9zv0q2m8x4t6b0000000001.0", "label": "Gentoo"}]}]
        },
    )


class FeedbackView(View):
    stored: int
    kept: int = Field(description="Of these, labels of predictions that are kept. Others may be written in a moment.")


class QualityView(View):
    model: str
    versions: list[Json] = Field(
        description="Of each version, newest first: `labelled`, and `accuracy` or `mean_absolute_error` and `rmse`; "
        "the same by day (`days`, UTC) and, where a feature was asked for, by its values (`slices`)."
    )


class FeedbackDataset(Request):
    name: str = Field(min_length=1, max_length=200, description="Of the data set.")
    label: str = Field(default="label", pattern=NAME_PATTERN, max_length=100, description="Column of the labels.")
    days: float = Field(default=30.0, gt=0, le=3660, description="Only predictions of the last `days` days.")
    version: int | None = Field(default=None, ge=1, le=2**31 - 1, description="Only what this version answered.")
