"""Releases on both databases: they begin, go on, come back, and give way to people."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound
from app.registry.arm_counts import KEEP_S, ArmCountRepository, Counted
from app.registry.audit import AuditRepository
from app.registry.db import Database, now
from app.registry.models import Division, ModelRepository
from app.registry.release_tables import ArmCount, Release
from app.registry.releases import ReleaseRepository
from app.releases.counts import Counts
from app.releases.release_plan import Guards, ReleasePlan, ReleaseStep
from tests.registry.test_models import available, publish
from workers.release_keeper import ReleaseKeeper

PLAN = ReleasePlan(
    (ReleaseStep(50, 0.0, 10), ReleaseStep(500, 0.0, 10)), Guards(p99_ratio=None, window_s=60.0), "x-user"
)


def begin(database: Database, plan: ReleasePlan = PLAN) -> Release:
    """A release of version 2 behind `latest`, where version 1 serves."""
    with database.session() as session:
        available(session)
        available(session, label="other")
        return ReleaseRepository(session).create("m", "latest", 2, plan, "tok_1")


def count(database: Database, release: Release, *, new: Counts, live: Counts | None = None) -> None:
    with database.session() as session:
        fresh = ReleaseRepository(session).get("m", release.id)
        key = (fresh.model, fresh.label, fresh.label_revision)
        ArmCountRepository(session).add([Counted(*key, 1, live or Counts(1000)), Counted(*key, 2, new)])


def look(database: Database, release: Release) -> tuple[str, int, tuple[int, int | None, int | None]]:
    """State, step, and the label's version, canary and share."""
    with database.read() as session:
        fresh = ReleaseRepository(session).get("m", release.id)
        label = ModelRepository(session).label("m", "latest")
        return fresh.state, fresh.step, (label.version, label.canary, label.per_mille)


def actions(database: Database) -> list[str]:
    with database.read() as session:
        entries = AuditRepository(session).list()[0]
        return [entry.action for entry in entries if entry.action.startswith("release.")][::-1]


def test_good_version_takes_its_steps_and_then_the_label(database: Database) -> None:
    release, keeper = begin(database), ReleaseKeeper(database)
    assert look(database, release) == ("RUNNING", 0, (1, 2, 50))
    keeper.round()
    assert look(database, release) == ("RUNNING", 0, (1, 2, 50))  # no requests yet
    count(database, release, new=Counts(10))
    keeper.round()
    assert look(database, release) == ("RUNNING", 1, (1, 2, 500))
    keeper.round()
    assert look(database, release) == ("RUNNING", 1, (1, 2, 500))  # each step counts anew
    count(database, release, new=Counts(10))
    keeper.round()
    assert look(database, release) == ("DONE", 1, (2, None, None))
    assert actions(database) == ["release.started", "release.step", "release.done"]
    with database.read() as session:
        assert ModelRepository(session).label("m", "latest").previous == 1
        events = ReleaseRepository(session).events(release.id)
        assert [event.kind for event in events] == ["started", "step", "done"]
        assert events[2].detail["arms"][1]["requests"] == 10


def test_bad_version_goes_back_with_the_evidence(database: Database) -> None:
    release, keeper = begin(database), ReleaseKeeper(database)
    count(database, release, new=Counts(10, errors=10))
    keeper.round()
    assert look(database, release) == ("ROLLED_BACK", 0, (1, None, None))
    with database.read() as session:
        fresh = ReleaseRepository(session).get("m", release.id)
        assert "error rate" in str(fresh.reason)
        assert fresh.ended_at is not None
        last = ReleaseRepository(session).events(release.id)[-1]
        [entry] = AuditRepository(session).list(page_size=1)[0]
    assert last.kind == "rolled_back"
    assert last.detail["findings"][0] | {"limit": 0} == {
        "guard": "error_rate", "over": "step", "verdict": "broken", "live": 0.0, "new": 1.0, "limit": 0, "requests": 10
    }  # fmt: skip
    assert (entry.action, entry.detail["evidence"], entry.detail["version"]) == ("release.rolled_back", last.id, 1)
    keeper.round()
    assert actions(database) == ["release.started", "release.rolled_back"]


def test_decision_that_comes_late_or_twice_changes_nothing(database: Database) -> None:
    release = begin(database)
    with database.session() as session:
        assert ReleaseRepository(session).advance(release, "good", {})
    with database.session() as session:
        assert not ReleaseRepository(session).advance(release, "good", {})
        assert not ReleaseRepository(session).roll_back(release, "bad", {})
    assert look(database, release) == ("RUNNING", 1, (1, 2, 500))


def test_release_goes_on_under_another_reconciler(database: Database) -> None:
    release = begin(database)
    for _ in range(2):
        count(database, release, new=Counts(10))
        ReleaseKeeper(database).round()
    assert look(database, release) == ("DONE", 1, (2, None, None))


def test_pause_stops_the_clock_and_the_steps_but_not_the_guards(database: Database) -> None:
    release, keeper = begin(database), ReleaseKeeper(database)
    with database.session() as session:
        session.execute(update(Release).values(step_at=now() - 100))
        paused = ReleaseRepository(session).pause("m", release.id, "tok_1")
        assert 100 <= paused.step_s < 110
        session.execute(update(Release).values(step_at=now() - 1000))
    count(database, release, new=Counts(10))
    keeper.round()
    assert look(database, release) == ("PAUSED", 0, (1, 2, 50))
    with database.session() as session:
        releases = ReleaseRepository(session)
        with pytest.raises(Conflict, match="PAUSED"):
            releases.pause("m", release.id, None)
        assert 100 <= releases.ran_s(releases.resume("m", release.id, "tok_1")) < 110
        releases.pause("m", release.id, None)
    count(database, release, new=Counts(50, errors=50))
    keeper.round()
    assert look(database, release)[0] == "ROLLED_BACK"


def test_abort_goes_back_and_ends_it(database: Database) -> None:
    release = begin(database)
    with database.session() as session:
        releases = ReleaseRepository(session)
        assert releases.abort("m", release.id, "tok_1", "no").state == "ABORTED"
        with pytest.raises(Conflict, match="ABORTED"):
            releases.abort("m", release.id, "tok_1", "no")
        with pytest.raises(Conflict, match="ABORTED"):
            releases.resume("m", release.id, "tok_1")
    assert look(database, release) == ("ABORTED", 0, (1, None, None))


@pytest.mark.parametrize("whole", [True, False])
def test_label_that_a_person_sets_stays_so(database: Database, whole: bool) -> None:
    release, keeper = begin(database), ReleaseKeeper(database)
    division = Division() if whole else Division(2, 700)
    with database.session() as session:
        ModelRepository(session).set_label("m", "latest", 1, division=division)
    count(database, release, new=Counts(10, errors=10))
    keeper.round()
    assert look(database, release) == ("ABORTED", 0, (1, division.canary, division.per_mille))


def test_newer_version_that_takes_the_label_ends_the_release(database: Database) -> None:
    release = begin(database)
    with database.session() as session:
        available(session)
    ReleaseKeeper(database).round()
    assert look(database, release) == ("ABORTED", 0, (3, None, None))


def test_what_can_not_be_released(database: Database) -> None:
    release = begin(database)
    with database.session() as session:
        releases = ReleaseRepository(session)
        publish(session, label=None)
        with pytest.raises(Conflict, match="Another release"):
            releases.create("m", "latest", 2, PLAN, None)
        releases.abort("m", release.id, None, "no")
        with pytest.raises(Conflict, match="STAGED"):
            releases.create("m", "latest", 3, PLAN, None)
    with database.session() as session:
        releases = ReleaseRepository(session)
        with pytest.raises(Conflict, match="already"):
            releases.create("m", "latest", 1, PLAN, None)
        for model, label, version in (("n", "latest", 2), ("m", "none", 2), ("m", "latest", 9)):
            with pytest.raises(NotFound):
                releases.create(model, label, version, PLAN, None)
        with pytest.raises(NotFound):
            releases.get("n", release.id)


def test_old_counts_are_folded_and_then_removed(session: Session) -> None:
    available(session)
    counts = ArmCountRepository(session)
    for number in range(30):
        counts.add([Counted("m", "latest", 1, 1, Counts(2, errors=1, times={number % 3: 1}))])
    counts.add([Counted("gone", "latest", 1, 1, Counts(2))])
    session.execute(update(ArmCount).values(at=now() - 100))
    counts.add([Counted("m", "latest", 1, 1, Counts(1))])
    before = counts.sums("m", "latest", 1)
    counts.fold(60.0)
    assert session.scalar(select(func.count()).select_from(ArmCount)) == 2
    assert counts.sums("m", "latest", 1) == before
    assert before[1] == Counts(61, errors=30, times={0: 10, 1: 10, 2: 10})
    assert counts.sums("m", "latest", 1, last_s=60.0) == {1: Counts(1)}
    session.execute(update(ArmCount).values(at=now() - KEEP_S - 1))
    counts.purge()
    assert counts.sums("m", "latest", 1) == {}
