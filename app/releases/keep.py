"""The share of a model's requests that is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class KeepPolicy:
    """What is kept of a model's requests.

    Attributes:
        per_mille: of 1,000 requests so many.
        days: for so long.
        bytes: in files of so many bytes at most; the oldest go first.
        redact: names of features whose values are not kept.
    """

    per_mille: int
    days: float
    bytes: int
    redact: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """As it stands in the registry."""
        return cls(**{**row, "redact": tuple(row["redact"])})
