"""Evidence about a release at a moment, and the decision that follows: for the reconciler, which acts, and for the API,
which shows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from app.registry.arm_counts import ArmCountRepository
from app.registry.feedback import FeedbackRepository
from app.registry.models import ModelRepository
from app.registry.release_tables import Release
from app.registry.releases import ReleaseRepository
from app.releases.counts import Counts
from app.releases.decide import Decision, Observed, decide
from app.releases.quality import Quality
from app.releases.release_plan import ReleasePlan


@dataclass(frozen=True)
class Look:
    """A release at a moment.

    Attributes:
        owns_label: whether the label is as the release has set it.
        evidence: of the decision, for the record.
    """

    release: Release
    owns_label: bool
    decision: Decision
    evidence: dict[str, Any]


def look_at(session: Session, release: Release) -> Look:
    """What is to be done with an active release now."""
    releases, counts = ReleaseRepository(session), ArmCountRepository(session)
    plan = ReleasePlan.of(release.plan)
    ran_s = releases.ran_s(release)
    key = (release.model, release.label, release.label_revision)
    guards = plan.guards_of(release.step)
    whole = observed(release, counts.sums(*key))
    quality: dict[int, Quality] = {}
    if guards.quality is not None:
        label = ModelRepository(session).label(release.model, release.label)
        quality = FeedbackRepository(session).quality(release.model, since=label.updated_at)
        whole = replace(
            whole,
            live_quality=quality.get(release.base, Quality()),
            new_quality=quality.get(release.version, Quality()),
        )
    window = observed(release, counts.sums(*key, last_s=guards.window_s))
    decision = decide(plan, release.step, ran_s, whole=whole, window=window)
    evidence = {
        "step": release.step,
        "ran_s": round(ran_s, 3),
        "findings": [found.row() for found in decision.findings],
        "arms": arms(release, whole),
    }
    return Look(release, releases.owns_label(release), decision, evidence)


def observed(release: Release, sums: dict[int, Counts]) -> Observed:
    return Observed(sums.get(release.base) or Counts(), sums.get(release.version) or Counts())


def arms(release: Release, seen: Observed) -> list[dict[str, Any]]:
    """Numbers of both arms, for people."""
    return [arm("live", release.base, seen.live), arm("new", release.version, seen.new)]


def arm(role: str, version: int, counts: Counts) -> dict[str, Any]:
    """Numbers of one arm, for people; what only a shadow has is left out of others."""
    copies = {
        "compared": counts.mirrored,
        "agreement": 1 - counts.disagreed / counts.mirrored if counts.mirrored else None,
        "largest_difference": counts.difference if counts.mirrored else None,
        "skipped": counts.skipped,
    }
    return {
        "role": role,
        "version": version,
        "requests": counts.requests,
        "errors": counts.errors,
        "p50_s": counts.quantile_s(0.5),
        "p99_s": counts.quantile_s(0.99),
        **(copies if counts.mirrored or counts.skipped else {}),
    }
