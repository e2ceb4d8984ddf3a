"""Data sets."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.api.schemas.view import Json, Time, View
from app.registry import tables


class DatasetView(View):
    id: str = Field(examples=["ds_01k9zv0q2m8x4t6b3c5d7e9f1g"])
    name: str
    digest: str = Field(description="Of names, types and values: the same content has the same digest.")
    format: str = Field(description="csv jsonl parquet tfrecord")
    rows: int
    bytes: int
    columns: list[Json] = Field(
        description="name, dtype, sequence, shape, nulls, min, max, mean, stddev, distinct, vocabulary of each column; "
        "boolean and looks_like where they are known."
    )
    warnings: list[str] = Field(description="What its owner should know before training on it.")
    created_at: Time
    created_by: str | None

    @classmethod
    def of(cls, row: tables.Dataset) -> DatasetView:
        return cls.copy_of(row, warnings=row.warnings or [])


class DatasetList(View):
    datasets: list[DatasetView]
    next_page_token: str | None


class Preview(View):
    rows: list[dict[str, Any]] = Field(description='The first rows; bytes that are no text as {"b64": …}.')


class Usage(View):
    """What was made from a data set."""

    jobs: list[str]
    versions: list[dict[str, Any]] = Field(examples=[[{"model": "penguins", "version": 3}]])
