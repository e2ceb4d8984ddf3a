"""Whether a release goes on, waits or goes back: one function of what was counted.

A guard is broken when what was seen of the new version would be an accident of less than one in a million if it kept to
the guard's limit. So a few failures among few requests suffice when the live version has none, and a single one does
not. A version that is over a limit but not surely so is not rolled back; its step lasts until that is known.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from app.releases.counts import Counts
from app.releases.quality import Quality
from app.releases.release_plan import Guards, ReleasePlan

ACCIDENT = 1e-6
"""The chance at which a guard counts as broken. Guards are looked at about once a second, for days perhaps."""
_LIVE_ANSWERS = 100
"""A 99th percentile of fewer answers says nothing."""
_LABELS = 20
"""Fewer labels of a version say nothing of its quality."""
_SURE = 4.75
"""Standard errors, of which a normal mean is farther away once in a million (`ACCIDENT`)."""
_SLOW_ANSWERS = 5
"""Fewer slow ones may come from one pause of the machine."""


class Verdict(StrEnum):
    KEPT = "kept"
    OVER = "over"  # the limit, but perhaps by accident
    BROKEN = "broken"
    UNKNOWN = "unknown"  # nothing to judge by yet


@dataclass(frozen=True)
class Finding:
    """What a guard says.

    Attributes:
        over: `window` or `step`: of what time.
        limit: that `new` must not exceed; the live version's value and the guard's tolerance together.
        requests: of the new version that were looked at.
    """

    guard: str
    over: str
    verdict: Verdict
    live: float | None
    new: float | None
    limit: float | None
    requests: int

    def row(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": str(self.verdict)}


@dataclass(frozen=True)
class Observed:
    """What was counted of both arms since the step began, or within the guards' window."""

    live: Counts
    new: Counts
    live_quality: Quality = field(default_factory=Quality)
    new_quality: Quality = field(default_factory=Quality)


@dataclass(frozen=True)
class Decision:
    """What is to be done now.

    Attributes:
        action: `wait`, `advance` or `roll_back`.
        reason: for a person.
    """

    action: str
    reason: str
    findings: tuple[Finding, ...]


def decide(plan: ReleasePlan, step: int, ran_s: float, *, whole: Observed, window: Observed) -> Decision:
    """What is to be done at a step of a plan.

    Args:
        ran_s: how long the step has run, without the time that it was paused.
        whole: since the step began.
    """
    guards = plan.guards_of(step)
    findings = tuple(judge(guards, whole, "step") + judge(guards, window, "window"))
    broken = next((found for found in findings if found.verdict is Verdict.BROKEN), None)
    if broken is not None:
        return Decision("roll_back", _sentence(broken), findings)
    wanted = plan.steps[step]
    if ran_s < wanted.seconds:
        return Decision("wait", f"The step lasts {wanted.seconds:g} s; {ran_s:.0f} s are over.", findings)
    if whole.new.requests < wanted.min_requests:
        why = f"The step needs {wanted.min_requests} requests to the new version; it had {whole.new.requests}."
        if wanted.shadow and whole.new.skipped:
            why += (
                f" {whole.new.skipped} copies were left out: a version was busy, or a request too large to be copied."
            )
        return Decision("wait", why, findings)
    for found in findings:
        if found.guard == "quality" and found.verdict is Verdict.UNKNOWN:
            why = f"The guard needs {_LABELS} labels of each version's predictions; the new one has {found.requests}."
            return Decision("wait", why, findings)
        if found.over == "step" and found.verdict is Verdict.OVER:
            return Decision(
                "wait", f"{_sentence(found)} That may be an accident: more requests are needed to decide.", findings
            )
    return Decision("advance", "All guards kept.", findings)


def judge(guards: Guards, seen: Observed, over: str) -> list[Finding]:
    """What each guard that is set says."""
    found = []
    if guards.error_rate is not None:
        found.append(_error_rate(guards.error_rate, seen, over))
    if guards.p99_ratio is not None:
        found.append(_p99(guards.p99_ratio, seen, over))
    if guards.disagreement is not None and seen.new.mirrored:
        rate = seen.new.disagreed / seen.new.mirrored
        verdict = _verdict(seen.new.disagreed, seen.new.mirrored, guards.disagreement)
        found.append(Finding("disagreement", over, verdict, None, rate, guards.disagreement, seen.new.mirrored))
    if guards.quality is not None and over == "step":
        found.append(_quality(guards.quality, seen, over))
    return found


def _quality(tolerance: float, seen: Observed, over: str) -> Finding:
    """Classes by the share of wrong ones, beyond the live version's; numbers by the mean absolute error against the
    live version's."""
    live, new = seen.live_quality, seen.new_quality
    if min(live.labelled, new.labelled) < _LABELS:
        return Finding("quality", over, Verdict.UNKNOWN, None, None, None, new.labelled)
    if min(live.classes, new.classes) >= _LABELS:
        limit = min(1.0, (live.wrong + 1) / (live.classes + 2) + tolerance)
        verdict = _verdict(new.wrong, new.classes, limit)
        rates = live.wrong / live.classes, new.wrong / new.classes
        return Finding("quality", over, verdict, *rates, limit, new.classes)
    if min(live.numbers, new.numbers) < _LABELS:
        return Finding("quality", over, Verdict.UNKNOWN, None, None, None, new.labelled)
    (live_mean, live_error), (new_mean, new_error) = live.mean_and_error(), new.mean_and_error()
    limit = live_mean * (1 + tolerance)
    doubt = math.hypot(live_error * (1 + tolerance), new_error)
    verdict = Verdict.KEPT
    if new_mean > limit:
        verdict = Verdict.BROKEN if new_mean - limit > _SURE * doubt else Verdict.OVER
    return Finding("quality", over, verdict, live_mean, new_mean, limit, new.numbers)


def _error_rate(tolerance: float, seen: Observed, over: str) -> Finding:
    live, new = seen.live, seen.new
    if not new.requests:
        return Finding("error_rate", over, Verdict.UNKNOWN, None, None, None, 0)
    rate = live.errors / live.requests if live.requests else None
    limit = min(1.0, (live.errors + 1) / (live.requests + 2) + tolerance)  # little is known of few requests
    verdict = _verdict(new.errors, new.requests, limit)
    return Finding("error_rate", over, verdict, rate, new.errors / new.requests, limit, new.requests)


def _p99(ratio: float, seen: Observed, over: str) -> Finding:
    answers = sum(seen.new.times.values())
    live, new = seen.live.quantile_s(0.99), seen.new.quantile_s(0.99)
    if live is None or new is None or sum(seen.live.times.values()) < _LIVE_ANSWERS:
        return Finding("p99", over, Verdict.UNKNOWN, live, new, None, answers)
    limit = ratio * live
    slow = seen.new.slower_than(limit)
    verdict = _verdict(slow, answers, 0.01)
    if verdict is Verdict.BROKEN and slow < _SLOW_ANSWERS:
        verdict = Verdict.OVER
    return Finding("p99", over, verdict, live, new, limit, answers)


def _verdict(bad: int, of: int, limit: float) -> Verdict:
    if bad <= limit * of:
        return Verdict.KEPT
    return Verdict.BROKEN if binomial_tail(bad, of, limit) < ACCIDENT else Verdict.OVER


def binomial_tail(least: int, of: int, chance: float) -> float:
    """The chance of `least` or more hits in `of` tries; `least` lies above the mean."""
    if chance >= 1.0:
        return 1.0
    if chance <= 0.0:
        return 0.0 if least > 0 else 1.0
    log_term = (
        math.lgamma(of + 1)
        - math.lgamma(least + 1)
        - math.lgamma(of - least + 1)
        + least * math.log(chance)
        + (of - least) * math.log1p(-chance)
    )
    term, total = math.exp(log_term), 0.0
    for hits in range(least, of + 1):
        total += term
        term *= (of - hits) / (hits + 1) * chance / (1 - chance)
        if term < 1e-12 * total:
            break
    return min(1.0, total)


def _sentence(found: Finding) -> str:
    name = {"error_rate": "error rate", "p99": "99th percentile (s)"}.get(found.guard, found.guard)
    live = "unknown" if found.live is None else f"{found.live:.4g}"
    time = "the last window" if found.over == "window" else "this step"
    return (
        f"The new version's {name} in {time} is {found.new:.4g} of {found.requests} requests; "
        f"the limit is {found.limit:.4g}, the live version's {live}."
    )
