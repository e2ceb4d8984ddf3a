"""Releases between version changes: shares that are set, changed, aborted and brought to their end, and whether the
requests were divided as they say."""

from __future__ import annotations

import math
import sys
import time
from itertools import cycle
from typing import Any

from servers import ROOT

sys.path.insert(0, str(ROOT))

WAIT_S = 30.0
_REQUESTS = 200
_SHARES = (50, 300, 700)


class ReleaseWalk:
    """Plays the operator and the reconciler on a service that answers requests meanwhile."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._turns = cycle(("abort", "finish", "by hand"))
        self._shares = cycle(_SHARES)
        self.counted: list[tuple[int, int, int]] = []  # share, requests of both versions, of the new one

    def step(self, base: int, version: int) -> None:
        """A release of `version` where `base` serves, which has the label again at the end."""
        from app.registry.models import Division, ModelRepository
        from app.registry.releases import ReleaseRepository
        from app.releases.release_plan import Guards, ReleasePlan, ReleaseStep
        from workers.release_keeper import ReleaseKeeper

        turn, share = next(self._turns), next(self._shares)
        plan = ReleasePlan((ReleaseStep(share, 0.0, _REQUESTS),), Guards(p99_ratio=None))
        keeper = ReleaseKeeper(self._database)
        with self._database.session() as session:
            release = ReleaseRepository(session).create("m", "latest", version, plan, None)
        self._note(share, base, version)
        with self._database.session() as session:
            if turn == "abort":
                ReleaseRepository(session).abort("m", release.id, None, "walk")
            elif turn == "by hand":
                division = Division(version, next(self._shares))
                ModelRepository(session).set_label("m", "latest", base, division=division)
        keeper.round()
        if turn == "by hand":
            self._note(division.per_mille or 0, base, version)
        with self._database.session() as session:
            state = ReleaseRepository(session).get("m", release.id).state
            if state != ("DONE" if turn == "finish" else "ABORTED"):
                raise RuntimeError(f"release {release.id} is {state} after {turn}")
            ModelRepository(session).set_label("m", "latest", base)

    def _note(self, share: int, base: int, version: int) -> None:
        """Waits until enough was counted."""
        from app.registry.arm_counts import ArmCountRepository
        from app.registry.models import ModelRepository

        deadline = time.monotonic() + WAIT_S
        while True:
            with self._database.read() as session:
                revision = ModelRepository(session).label("m", "latest").revision
                sums = ArmCountRepository(session).sums("m", "latest", revision)
            if version in sums and sums[version].requests >= _REQUESTS:
                break
            if time.monotonic() > deadline:
                raise RuntimeError(f"version {version} got no share within {WAIT_S:.0f} s")
            time.sleep(0.05)
        new = sums[version].requests
        self.counted.append((share, new + (sums[base].requests if base in sums else 0), new))

    def told(self) -> dict[str, Any]:
        """For the result; nothing without a release."""
        if not self.counted:
            return {}
        found, limit = self._chi_square()
        requests = sum(all_of_them for _, all_of_them, _ in self.counted)
        split = {
            "shares": len(self.counted),
            "requests": requests,
            "chi_square": round(found, 2),
            "limit": round(limit, 2),
        }
        return {"split": split}

    def is_off(self) -> bool:
        """Whether the counts are not as the shares say."""
        found, limit = self._chi_square()
        return found > limit

    def _chi_square(self) -> tuple[float, float]:
        """Pearson's sum over all shares, and what it stays below but for one run in some thousands."""
        total = sum(
            (new - all_of_them * share / 1000) ** 2 / (all_of_them * share / 1000 * (1 - share / 1000))
            for share, all_of_them, new in self.counted
        )
        degrees = len(self.counted)
        return total, degrees + 4 * math.sqrt(2 * degrees) + 4
