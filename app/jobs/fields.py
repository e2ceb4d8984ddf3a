"""Field types that job requests and job specifications share: ids, names, columns, counts, unions by JSON type."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.ids import NAME_PATTERN

MAX_STEPS = 10**12
ID_PATTERNS = {prefix: rf"^{prefix}_[0-9a-hjkmnp-tv-z]{{26}}$" for prefix in ("ds", "job", "ckpt")}
NOT_TEXT = "Holds a NUL or half of a surrogate pair; remove it."


class Part(BaseModel):
    """A frozen JSON object of a request or a specification: unknown fields, `"1"` or `true` for 1, and numbers that
    are not finite are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise PydanticCustomError("text", NOT_TEXT)
    return text


FreeText = Annotated[str, AfterValidator(_no_nul)]
"""Any text but one that PostgreSQL cannot store."""
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=10_000), AfterValidator(_no_nul)]
MetricName = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_no_nul)]
EstimatorName = Annotated[str, StringConstraints(max_length=100), AfterValidator(_no_nul)]
ConstantText = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_no_nul)]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=100)]
DatasetName = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_no_nul)]
DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_no_nul)]
Tags = Annotated[tuple[Name, ...], Field(strict=False, max_length=20)]
JobId = Annotated[str, StringConstraints(pattern=ID_PATTERNS["job"])]
CheckpointId = Annotated[str, StringConstraints(pattern=ID_PATTERNS["ckpt"])]
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS)]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]
Mode = Literal["min", "max"]

# Tags of unions. They start with a NUL, so that they differ from field names in an error's location.
_TEXT, _NUMBER, _LIST, _OBJECT = "\x00text", "\x00number", "\x00list", "\x00object"


def _json_type(value: Any) -> str | None:
    if isinstance(value, str):
        return _TEXT
    if isinstance(value, list | tuple):
        return _LIST
    if isinstance(value, dict | BaseModel):
        return _OBJECT
    return _NUMBER if isinstance(value, int | float) and not isinstance(value, bool) else None


def _by_json_type(expected: str) -> Discriminator:
    """Picks the alternative of a union by the JSON type of the value, so that an error is about that one alone."""
    return Discriminator(_json_type, custom_error_type="wrong_type", custom_error_message=expected)


Columns = Annotated[tuple[ColumnName, ...], Field(strict=False, min_length=1, max_length=10_000)]
HeadLabel = Annotated[
    Annotated[ColumnName, Tag(_TEXT)] | Annotated[Columns, Tag(_LIST)],
    _by_json_type("Must be a column's name, or a list of names."),
]
LabelColumns = Annotated[
    Annotated[ColumnName, Tag(_TEXT)]
    | Annotated[Columns, Tag(_LIST)]
    | Annotated[dict[str, HeadLabel], Field(min_length=1, max_length=100), Tag(_OBJECT)],
    _by_json_type("Must be a column's name, a list of names, or an object of head names to columns."),
]
"""One column; several side by side (a vector per row); or one of those per head of a MultiHead, by the head's name."""


class Constant(Part):
    """A value that replaces nulls."""

    constant: Annotated[
        Annotated[int, Field(ge=-(2**63), lt=2**63), Tag("\x00whole")]
        | Annotated[float, Tag(_NUMBER)]
        | Annotated[ConstantText, Tag(_TEXT)],
        Discriminator(
            lambda value: "\x00whole" if type(value) is int else _json_type(value),
            custom_error_type="wrong_type",
            custom_error_message="Must be a finite number or a string.",
        ),
        WithJsonSchema({"type": ["number", "string"], "maxLength": 1000}),
    ] = Field(description="The number or text that replaces a null of the column.")


MissingPolicy = Annotated[
    Annotated[Literal["mean", "zero", "category", "empty", "drop", "error"], Tag(_TEXT)]
    | Annotated[Constant, Tag(_OBJECT)],
    _by_json_type('Must be mean, zero, category, empty, drop, error, or {"constant": value}.'),
]
