"""When a release goes on, waits and goes back."""

from __future__ import annotations

import random

import pytest

from app.releases.counts import Counts
from app.releases.decide import ACCIDENT, Decision, Observed, Verdict, binomial_tail, decide
from app.releases.release_plan import Guards, ReleasePlan, ReleaseStep

PLAN = ReleasePlan((ReleaseStep(50, 60.0, 100), ReleaseStep(500, 60.0, 100)), Guards(error_rate=0.01, p99_ratio=1.5))


def counts(good: int, errors: int = 0, *, seconds: float = 0.01, slow: int = 0, slow_s: float = 1.0) -> Counts:
    made = Counts()
    for number in range(good):
        made.add(slow_s if number < slow else seconds)
    made.requests += errors
    made.errors += errors
    return made


def ask(
    new: Counts,
    live: Counts | None = None,
    *,
    ran_s: float = 60.0,
    window: Observed | None = None,
    plan: ReleasePlan = PLAN,
) -> Decision:
    whole = Observed(live or counts(1900), new)
    return decide(plan, 0, ran_s, whole=whole, window=window or whole)


def test_as_good_version_goes_on_once_time_and_requests_are_reached() -> None:
    assert ask(counts(100), ran_s=59.9).action == "wait"
    assert ask(counts(99)).action == "wait"
    assert "needs 100 requests to the new version; it had 99" in ask(counts(99)).reason


def test_shadow_that_waits_says_what_was_not_copied() -> None:
    plan = ReleasePlan((ReleaseStep(0, 60.0, 100, shadow=True),))
    new = counts(99)
    assert "copies" not in ask(new, plan=plan).reason
    new.skipped = 7
    assert "7 copies were left out" in ask(new, plan=plan).reason
    assert ask(counts(100)).action == "advance"


@pytest.mark.parametrize(
    ("new", "action"),
    [
        (counts(0, 1), "wait"),  # one failure of one: 1 % is as likely as that
        (counts(0, 3), "wait"),  # 0.0105³ = 1.2e-6
        (counts(0, 4), "roll_back"),
        (counts(100, 1), "advance"),
        (counts(98, 4), "wait"),  # 4 of 102 at 1.05 %: 2.4 %
        (counts(85, 15), "roll_back"),
    ],
)
def test_failures_roll_back_when_they_are_no_accident(new: Counts, action: str) -> None:
    decision = ask(new, ran_s=60.0)
    assert decision.action == action, decision


def test_failures_that_both_versions_have_are_no_reason() -> None:
    assert ask(counts(80, 20), counts(1520, 380)).action == "advance"


def test_slow_answers_roll_back() -> None:
    decision = ask(counts(100, slow=20))
    assert decision.action == "roll_back"
    assert "99th percentile" in decision.reason
    assert ask(counts(100, slow=4)).action == "wait"  # four may come from one pause
    assert ask(counts(100, slow=20, slow_s=0.014)).action == "advance"  # within 1.5 times


def test_times_are_not_judged_by_few_live_answers() -> None:
    decision = ask(counts(100, slow=20), counts(99))
    assert decision.action == "advance"
    assert {found.verdict for found in decision.findings if found.guard == "p99"} == {Verdict.UNKNOWN}


def test_window_finds_what_a_long_good_time_hides() -> None:
    window = Observed(counts(200), counts(5, 5))
    decision = ask(counts(100_000, 5), counts(1_000_000), window=window)
    assert decision.action == "roll_back"
    assert "the last window" in decision.reason


def test_broken_guard_rolls_back_before_the_step_s_time() -> None:
    assert ask(counts(0, 5), ran_s=0.5).action == "roll_back"


def test_guards_that_are_off_see_nothing_and_a_step_may_have_its_own() -> None:
    off = ReleasePlan(PLAN.steps, Guards(error_rate=None, p99_ratio=None))
    assert ask(counts(50, 50, slow=50), plan=off).action == "advance"
    own = ReleasePlan((ReleaseStep(50, 60.0, 100, {"error_rate": None}),), PLAN.guards)
    assert ask(counts(50, 50), plan=own).action == "advance"
    assert ask(counts(50, 50, slow=50), plan=own).action == "roll_back"


def test_plan_comes_back_from_its_row() -> None:
    plan = ReleasePlan((ReleaseStep(1, 2.0, 3, {"p99_ratio": None}),), Guards(window_s=5.0), "x-user")
    assert ReleasePlan.of(plan.row()) == plan


def test_good_versions_are_hardly_ever_rolled_back() -> None:
    """A hundred releases of 60 looks each; both versions fail in 2 % and are slow in 1 %."""
    draws = random.Random(5)
    rolled_back = 0
    for _ in range(100):
        live, new = Counts(), Counts()
        for _ in range(60):
            for arm, requests in ((live, 95), (new, 5)):
                for _ in range(requests):
                    if draws.random() < 0.02:
                        arm.requests, arm.errors = arm.requests + 1, arm.errors + 1
                    else:
                        arm.add(0.2 if draws.random() < 0.01 else draws.uniform(0.005, 0.02))
            whole = Observed(live, new)
            if decide(PLAN, 0, 0.0, whole=whole, window=Observed(Counts(), Counts())).action == "roll_back":
                rolled_back += 1
                break
    assert rolled_back == 0


def test_binomial_tail_is_exact() -> None:
    assert binomial_tail(2, 2, 0.5) == pytest.approx(0.25)
    assert binomial_tail(1, 3, 0.1) == pytest.approx(1 - 0.9**3)
    assert binomial_tail(60, 100, 0.5) == pytest.approx(0.028443966820)  # by a table of the binomial distribution
    assert binomial_tail(1_000, 10_000, 0.01) < ACCIDENT
    assert binomial_tail(5, 5, 1.0) == 1.0
    assert binomial_tail(1, 5, 0.0) == 0.0


def test_shadow_is_judged_by_its_disagreement() -> None:
    plan = ReleasePlan((ReleaseStep(0, 60.0, 100, shadow=True),), Guards(p99_ratio=None, disagreement=0.05))
    for disagreed, action in ((5, "advance"), (10, "wait"), (40, "roll_back")):
        new = counts(100)
        new.mirrored, new.disagreed = 100, disagreed
        assert ask(new, plan=plan).action == action
