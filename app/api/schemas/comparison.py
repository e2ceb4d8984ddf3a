"""Jobs side by side."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from app.api.schemas.job import JobView, Point
from app.api.schemas.view import View


class ComparedRow(View):
    """One thing, and its value of each job."""

    name: str = Field(description="JSON pointer into the specification, or a metric with its evaluation.")
    values: list[Any] = Field(description="In the order of the jobs; null where a job has none.")


class Comparison(View):
    """Jobs side by side; every list of values is in their order."""

    jobs: list[JobView]
    differences: list[ComparedRow] = Field(description="Fields of the specifications that are not the same in all.")
    metrics: list[ComparedRow] = Field(description="Of the last evaluation of each name.")
    series: dict[str, list[list[Point]]] = Field(description="Curve → its points of each job.")
