"""Moves releases on or back: the part of the reconciler that watches the guards."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from app.registry.arm_counts import ArmCountRepository
from app.registry.db import Database
from app.registry.release_evidence import Look, look_at
from app.registry.release_tables import Release
from app.registry.releases import ReleaseRepository
from app.releases.release_plan import ReleasePlan, ReleaseState

log = structlog.get_logger("releases")

_FOLD_EVERY_S = 10.0
_FOLD_S = 60.0


class ReleaseKeeper:
    """One look at all releases after the other. Whoever looks may be late or doubled: what it decides is written only
    if the release is still at the step that it looked at."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._folded_at = float("-inf")

    def round(self) -> None:
        """Looks at each active release once, and does what follows.

        Raises:
            Unavailable: the database does not answer.
        """
        with self._database.read() as session:
            looks = [look_at(session, release) for release in ReleaseRepository(session).all_active()]
        for look in looks:
            self._act(look)
        if looks and self._clock() - self._folded_at >= _FOLD_EVERY_S:
            self._folded_at = self._clock()
            with self._database.session() as session:
                ArmCountRepository(session).fold(max(_FOLD_S, *(_window_s(look.release) for look in looks)))

    def purge(self) -> None:
        """Removes counts that nobody will ask for."""
        with self._database.session() as session:
            ArmCountRepository(session).purge()

    def _act(self, look: Look) -> None:
        release, decision = look.release, look.decision
        if look.owns_label and (
            decision.action == "wait" or (decision.action == "advance" and release.state == ReleaseState.PAUSED)
        ):
            return
        with self._database.session() as session:
            releases = ReleaseRepository(session)
            if not look.owns_label:
                done = releases.lose(release)
            elif decision.action == "advance":
                done = releases.advance(release, decision.reason, look.evidence)
            else:
                done = releases.roll_back(release, decision.reason, look.evidence)
        if done:
            what = decision.action if look.owns_label else "lost its label"
            log.info("release", what=what, release=release.id, model=release.model, why=decision.reason)


def _window_s(release: Release) -> float:
    plan = ReleasePlan.of(release.plan)
    return max(plan.guards_of(step).window_s for step in range(len(plan.steps)))
