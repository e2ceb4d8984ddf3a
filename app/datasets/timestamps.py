"""A column of dates or times becomes columns of numbers: year, month, weekday, hour, age."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.chunk import Where
from app.errors import InvalidInput, quote_name

_US = pa.timestamp("us")

_PARTS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "year": pc.year,
    "quarter": pc.quarter,
    "month": pc.month,
    "day": pc.day,
    "day_of_year": pc.day_of_year,
    "weekday": lambda times: pc.day_of_week(times, count_from_zero=False, week_start=1),  # Monday 1 … Sunday 7
    "hour": pc.hour,
    "minute": pc.minute,
}
FEATURES = (*_PARTS, "age")


@dataclass(frozen=True)
class TimestampSchema:
    """What becomes of a column of times.

    Attributes:
        features: of `FEATURES`, each an own column `<name>.<feature>`.
        format: of the texts, in the letters of `strptime`; None: ISO 8601.
        age_at: `age` is the time from the cell to here, in days.
    """

    features: tuple[str, ...]
    format: str | None = None
    age_at: datetime.datetime | None = None

    def names(self, name: str) -> list[str]:
        """Names of the columns that column `name` becomes."""
        return [f"{name}.{feature}" for feature in self.features]

    def columns(self, array: pa.Array, name: str, where: Where) -> dict[str, pa.Array]:
        """The columns of numbers, each with nulls where `array` has them.

        Raises:
            InvalidInput: a cell is no time in that format; says which.
        """
        times = self._times(array, name, where)
        made = {feature: part(times) for feature, part in _PARTS.items() if feature in self.features}
        if self.age_at is not None and "age" in self.features:
            distance = pc.subtract(pa.scalar(self.age_at, _US), times)
            made["age"] = pc.divide(pc.cast(pc.cast(distance, pa.int64()), pa.float64()), 86_400e6)
        plain = {"age": pa.float64()}
        return {f"{name}.{part}": pc.cast(made[part], plain.get(part, pa.int64())) for part in self.features}

    def _times(self, array: pa.Array, name: str, where: Where) -> pa.Array:
        if pa.types.is_temporal(array.type):
            return _naive(array)
        if not pa.types.is_null(array.type) and not is_text(array.type):
            raise InvalidInput.at(
                f"/schema/columns/{quote_name(name)[1:-1]}",
                f"Column {quote_name(name)} holds numbers or lists, no dates. Take timestamp out of its schema.",
            )
        texts = pc.utf8_trim_whitespace(pc.cast(array, pa.large_string()))
        texts = pc.if_else(pc.equal(texts, ""), None, texts)
        try:
            return self._parse(texts)
        except pa.ArrowInvalid:
            row = self._first_bad(texts)
        shape = f"in the format {self.format}" if self.format else 'in ISO 8601 ("2024-05-31" or "2024-05-31 14:30:00")'
        raise InvalidInput.at(
            "/file",
            f"{where(row)}, column {quote_name(name)}: the cell is no date or time {shape}. Correct it, leave it "
            'empty, or give the format in the schema: {"timestamp": {"format": "%d.%m.%Y", "features": ["year"]}}.',
        )

    def _parse(self, texts: pa.Array) -> pa.Array:
        if self.format is not None:
            return pc.cast(pc.strptime(texts, format=self.format, unit="us"), _US)
        try:
            return pc.cast(texts, _US)
        except pa.ArrowInvalid:  # with offsets from UTC
            return _naive(pc.cast(texts, pa.timestamp("us", "UTC")))

    def _first_bad(self, texts: pa.Array) -> int:
        for row in range(len(texts)):
            try:
                self._parse(texts.slice(row, 1))
            except pa.ArrowInvalid:
                return row
        return 0


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is one of texts."""
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary(kind)
    )


def looks_like_dates(texts: list[str]) -> bool:
    """Whether all of some texts are dates or times in ISO 8601."""
    if not texts or not all(len(text) >= 8 and text[:4].isdigit() for text in texts):
        return False
    try:
        for text in texts:
            datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        return False
    return True


def _naive(array: pa.Array) -> pa.Array:
    """Times without a zone: of UTC, where they have one."""
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        array = pc.cast(array, pa.timestamp(array.type.unit, "UTC"))
    if pa.types.is_timestamp(array.type):
        return pc.cast(array, pa.timestamp(array.type.unit), safe=False).cast(_US, safe=False)
    return pc.cast(array, _US, safe=False)


def parse_timestamp(value: Any) -> TimestampSchema | str:
    """Reads the `timestamp` of a column's schema; a text says what is wrong with it."""
    entry = {"features": value} if isinstance(value, list) else value
    if value is True:
        entry = {"features": ["year", "month", "weekday"]}
    if not isinstance(entry, dict) or set(entry) - {"features", "format", "age_at"}:
        return (
            'timestamp must be a list of features, or {"features": […], "format": "%d.%m.%Y", "age_at": "2026-01-01"}.'
        )
    features = entry.get("features", ["year", "month", "weekday"])
    if not isinstance(features, list) or not features or any(name not in FEATURES for name in features):
        return f"timestamp's features must be some of {', '.join(FEATURES)}."
    if len(set(features)) != len(features):
        return "timestamp names a feature twice."
    form = entry.get("format")
    if form is not None and (not isinstance(form, str) or "%" not in form or len(form) > 100):
        return "timestamp's format must be one of strptime's, for example \"%d.%m.%Y %H:%M\"."
    age_at = entry.get("age_at")
    if "age" in features:
        try:
            at = datetime.datetime.fromisoformat(age_at or "")
        except (TypeError, ValueError):
            return 'the feature age is counted in days up to a fixed day: give "age_at": "2026-01-01".'
        return TimestampSchema(tuple(features), form, at.replace(tzinfo=None))
    return TimestampSchema(tuple(features), form)
