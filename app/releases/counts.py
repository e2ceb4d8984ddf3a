"""Counts of one version behind a divided label, small enough to be a row: requests, errors, and times in buckets that
are fine enough to compare two 99th percentiles."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Self

_PER_OCTAVE = 8
_LEAST_S = 1e-5


def bucket_of(seconds: float) -> int:
    """The number of the bucket; each is 9 % wide."""
    return max(0, math.ceil(_PER_OCTAVE * math.log2(max(seconds, _LEAST_S) / _LEAST_S)))


def upper_bound(bucket: int) -> float:
    """Seconds."""
    return float(_LEAST_S * 2 ** (bucket / _PER_OCTAVE))


@dataclass
class Counts:
    """Request counts, error counts and times of one arm of a divided label.

    Attributes:
        requests: answered or failed.
        errors: answered with a status of 400 and more, but for 429.
        times: bucket → requests that were answered well; JSON makes text of the keys, `of` numbers again.
        mirrored: copies that a shadow answered and that were compared, for a shadow's own counts; its `requests` are
            those that it was asked, its `times` its own.
        disagreed: of these, with an answer that is another.
        skipped: copies that were not made because the shadow was busy.
        difference: the largest between two numbers of such answers.
    """

    requests: int = 0
    errors: int = 0
    times: dict[int, int] = field(default_factory=dict)
    mirrored: int = 0
    disagreed: int = 0
    skipped: int = 0
    difference: float = 0.0

    def add(self, seconds: float) -> None:
        """A request that was answered well."""
        self.requests += 1
        bucket = bucket_of(seconds)
        self.times[bucket] = self.times.get(bucket, 0) + 1

    def merge(self, other: Counts) -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.mirrored += other.mirrored
        self.disagreed += other.disagreed
        self.skipped += other.skipped
        self.difference = max(self.difference, other.difference)
        for bucket, count in other.times.items():
            self.times[bucket] = self.times.get(bucket, 0) + count

    def quantile_s(self, share: float) -> float | None:
        """The time within which that share of the good answers came; None without any."""
        total = sum(self.times.values())
        passed = 0
        for bucket in sorted(self.times):
            passed += self.times[bucket]
            if passed >= share * total:
                return upper_bound(bucket)
        return None

    def slower_than(self, seconds: float) -> int:
        """Good answers whose bucket lies above."""
        limit = bucket_of(seconds)
        return sum(count for bucket, count in self.times.items() if bucket > limit)

    def row(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        times = {int(bucket): count for bucket, count in row.get("times", {}).items()}
        return cls(**{**row, "times": times})
