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


class BinCounts(View):
    """Counts of values between edges."""

    edges: list[float] = Field(description="One more than `counts`.")
    counts: list[int]


class ValueCount(View):
    value: Any
    count: int


class Strength(View):
    """Strength of association of two columns."""

    kind: str = Field(
        description="pearson (numbers, -1 to 1), correlation_ratio (categories and numbers, 0 to 1), cramers_v "
        "(categories, 0 to 1)"
    )
    value: float
    rows: int = Field(description="Rows in which neither value is missing.")


class Distribution(View):
    name: str
    dtype: str = Field(description="float32 int64 string")
    nulls: int = Field(description="Missing values, of all rows.")
    histogram: BinCounts | None = Field(description="Of numbers.")
    top: list[ValueCount] | None = Field(description="The 20 most frequent texts, or numbers where they are few.")
    others: int | None = Field(description="Values that are not in `top`.")
    lengths: BinCounts | None = Field(description="Of a sequence column: elements per row.")
    strength: Strength | None = Field(description="Against the label that was asked for.")


class Distributions(View):
    dataset: str
    rows: int
    sampled_rows: int = Field(description="Rows that were looked at; all but `nulls` is of them.")
    label: str | None
    columns: list[Distribution]
