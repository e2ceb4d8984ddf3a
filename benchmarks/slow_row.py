"""A row of `scripts/bench slow`: what a place takes, and what it is compared with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One place and its bar.

    Attributes:
        place: what is measured, with its unit.
        ours: this code's figure.
        against: that of the peer, or the most (or least) that is allowed.
        ratio: how many times better `ours` is than `against`.
        bar: what `ratio` has to be.
    """

    place: str
    ours: float
    against: float
    ratio: float
    bar: float

    @property
    def reached(self) -> bool:
        return self.ratio >= self.bar

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"reached": self.reached}

    def __str__(self) -> str:
        verdict = "reached" if self.reached else "MISSED"
        return (
            f"{self.ours:>12,.3f} {self.against:>12,.3f} {self.ratio:>7.2f} {self.bar:>6.2f}  {verdict:<8} {self.place}"
        )


def less_is_better(place: str, ours: float, against: float, bar: float = 1.0) -> Row:
    """A time or a size; `ratio` is `against` / `ours`."""
    return Row(place, ours, against, against / max(ours, 1e-12), bar)


def more_is_better(place: str, ours: float, against: float, bar: float = 1.0) -> Row:
    """A speed; `ratio` is `ours` / `against`."""
    return Row(place, ours, against, ours / max(against, 1e-12), bar)
