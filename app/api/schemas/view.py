"""Base types of all bodies."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.ids import NAME_PATTERN

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)]
Time = Annotated[
    str, Field(description="RFC 3339, UTC, by the clock of the database.", examples=["2026-11-21T12:00:00.250Z"])
]


class View(BaseModel):
    """Something that is answered."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def copy_of(cls, row: object, **others: Any) -> Self:
        """The view of a table's row: each field that `others` does not give is the row's own of that name; moments
        (fields that end with `_at`) become text."""
        for name in cls.model_fields.keys() - others.keys():
            value = getattr(row, name)
            others[name] = time_text(value) if name.endswith("_at") else value
        return cls(**others)


class Request(BaseModel):
    """Something that is sent: no unknown fields, no `"1"` for 1."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Place(View):
    pointer: str = Field(description="JSON pointer into the request.", examples=["/data/train/label"])
    detail: str


class Problem(BaseModel):
    """RFC 9457. `error` repeats `detail` on model paths, for TensorFlow Serving's clients."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What is wrong, and how to fix it.")
    instance: str
    errors: list[Place] = Field(default=[], description="Invalid fields of the input, where they are known.")
    error: str | None = None


def time_text(seconds: float | None) -> str | None:
    """Seconds since 1970 as RFC 3339 in UTC with milliseconds."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def must_time(seconds: float) -> str:
    text = time_text(seconds)
    assert text is not None
    return text


Json = dict[str, Any]
