from __future__ import annotations

from sqlalchemy.orm import Session

from app.ids import new_id
from app.registry.artifacts import ArtifactRepository
from app.registry.checkpoints import CheckpointRepository
from tests.registry.conftest import make_claim, make_dataset, make_export, make_job
from tests.repositories import attempts


def test_unreferenced_gives_directories_without_a_row(session: Session) -> None:
    claim = make_claim(session)
    data, export = make_dataset(session), make_export(session, claim)
    needed = [f"datasets/{data.id}", f"exports/{export.id}", f"jobs/{claim.job_id}/1", f"predictions/{claim.job_id}"]
    strays = [
        f"datasets/{new_id('ds')}",
        f"exports/{new_id('exp')}",
        f"jobs/{claim.job_id}/2",
        f"jobs/{new_id('job')}/1",
        f"predictions/{new_id('job')}",
    ]
    assert ArtifactRepository(session).unreferenced(needed + strays) == sorted(strays)


def test_unreferenced_never_gives_what_is_not_ours(session: Session) -> None:
    keys = ["lost+found", "datasets", "jobs/x", "jobs/x/1/scratch", "other/x", ""]
    assert ArtifactRepository(session).unreferenced(keys) == []


def test_prediction_of_a_failed_job_is_not_needed(session: Session) -> None:
    claim = make_claim(session, make_job(session, type="predict"))
    key = f"predictions/{claim.job_id}"
    assert ArtifactRepository(session).unreferenced([key]) == []
    attempts(session).fail(claim.job_id, 1, "invalid_data", "x")
    assert ArtifactRepository(session).unreferenced([key]) == [key]


def test_unreferenced_takes_many_keys(session: Session) -> None:
    strays = [f"exports/{new_id('exp')}" for _ in range(1200)]
    export = make_export(session)
    assert ArtifactRepository(session).unreferenced([*strays, f"exports/{export.id}"]) == sorted(strays)


def test_stray_checkpoints_are_those_that_an_ended_attempt_did_not_commit(session: Session) -> None:
    artifacts = ArtifactRepository(session)
    claim = make_claim(session)
    committed, stray = (f"jobs/{claim.job_id}/1/model.ckpt-{step}" for step in (500, 730))
    CheckpointRepository(session).add(claim.job_id, 1, 500, committed, 10)
    assert artifacts.stray_checkpoints(claim.job_id, 1, [committed, stray]) == []  # may be on its way
    attempts(session).lose(claim.job_id, 1, "gone")
    assert artifacts.stray_checkpoints(claim.job_id, 1, [committed, stray]) == [stray]
