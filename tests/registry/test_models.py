from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, NotFound, PreconditionFailed
from app.ids import is_id
from app.registry.audit import AuditRepository
from app.registry.models import Division, ModelRepository
from app.registry.served_versions import ServedShare, ServedVersionRepository
from app.registry.tables import Version
from tests.registry.conftest import make_export


@pytest.fixture
def models(session: Session) -> ModelRepository:
    return ModelRepository(session)


def publish(session: Session, state: str = "STAGED", label: str | None = "latest", model: str = "m") -> Version:
    export = make_export(session)
    lineage = {"step": export.step}
    return ModelRepository(session).create_version(model, export.id, export.job_id, lineage, state, label)


def available(session: Session, label: str | None = "latest", model: str = "m") -> int:
    version = publish(session, label=label, model=model)
    assert ModelRepository(session).version_loaded(model, version.number)
    return version.number


def test_versions_are_numbered_per_model(session: Session, models: ModelRepository) -> None:
    assert [publish(session).number for _ in range(3)] == [1, 2, 3]
    assert publish(session, model="other").number == 1
    version = models.version("m", 2)
    assert is_id(version.lineage_id, "ver")
    assert version.lineage == {"step": 100}


def test_newest_versions_of_many_models_come_with_one_query(session: Session, models: ModelRepository) -> None:
    for model in ("m", "m", "m", "other"):
        publish(session, model=model)
    found = models.versions_by_model(["m", "other", "nobody"], most=2)
    assert {name: [one.number for one in versions] for name, versions in found.items()} == {"m": [3, 2], "other": [1]}


def test_export_published_again_is_the_same_version(session: Session, models: ModelRepository) -> None:
    export = make_export(session)
    first = models.create_version("m", export.id, export.job_id, {}, "STAGED", "latest")
    again = models.create_version("m", export.id, export.job_id, {}, "STAGED", "latest")
    assert again is first
    assert [version.number for version in models.versions_of_job(export.job_id)] == [1]


def test_unknown_things_are_not_found(session: Session, models: ModelRepository) -> None:
    for look in (
        lambda: models.get("m"),
        lambda: models.version("m", 1),
        lambda: models.label("m", "latest"),
        lambda: models.set_label("m", "latest", 1),
        lambda: models.version_loaded("m", 1),
    ):
        with pytest.raises(NotFound):
            look()


def test_loaded_version_takes_its_label(session: Session, models: ModelRepository) -> None:
    publish(session)
    assert [version.number for version in models.staged()] == [1]
    assert models.labels("m") == []
    assert models.version_loaded("m", 1)
    assert models.version("m", 1).state == "AVAILABLE"
    label = models.label("m", "latest")
    assert (label.version, label.previous, label.revision) == (1, None, 1)
    assert models.staged() == []


def test_loaded_again_changes_nothing(session: Session, models: ModelRepository) -> None:
    available(session)
    available(session)
    models.set_label("m", "latest", 1)
    assert models.version_loaded("m", 2) is False
    assert models.label("m", "latest").version == 1


def test_older_version_that_loads_late_does_not_take_the_label(session: Session, models: ModelRepository) -> None:
    publish(session)
    publish(session)
    models.version_loaded("m", 2)
    assert models.version_loaded("m", 1)
    assert models.version("m", 1).state == "AVAILABLE"
    assert models.label("m", "latest").version == 2


def test_rollback_stays_until_the_next_export(session: Session, models: ModelRepository) -> None:
    available(session)
    available(session)
    publish(session)  # is loading while somebody rolls back
    label = models.set_label("m", "latest", 1)
    assert (label.version, label.previous, label.revision) == (1, 2, 3)
    models.version_loaded("m", 3)
    assert models.label("m", "latest").version == 1
    available(session)
    label = models.label("m", "latest")
    assert (label.version, label.previous, label.revision) == (4, 1, 4)


def test_version_without_promotion_is_stored_only(session: Session, models: ModelRepository) -> None:
    version = publish(session, state="STORED", label=None)
    assert models.staged() == []
    assert models.version_loaded("m", version.number)
    assert models.labels("m") == []


def test_staged_on_request_takes_the_label(session: Session, models: ModelRepository) -> None:
    publish(session, state="STORED", label=None)
    models.stage("m", 1, "canary")
    models.version_loaded("m", 1)
    assert models.label("m", "canary").version == 1
    with pytest.raises(Conflict, match="AVAILABLE"):
        models.stage("m", 1)


def test_failed_version_says_why_and_is_not_labelled(session: Session, models: ModelRepository) -> None:
    available(session)
    publish(session)
    assert models.version_failed("m", 2, "The graph holds ReadFile.")
    version = models.version("m", 2)
    assert (version.state, version.reason) == ("FAILED", "The graph holds ReadFile.")
    assert models.label("m", "latest").version == 1
    assert models.version_loaded("m", 2) is False
    with pytest.raises(Conflict, match=r"FAILED.*ReadFile"):
        models.set_label("m", "latest", 2)


def test_available_version_that_fails_later_stays_available(session: Session, models: ModelRepository) -> None:
    available(session)
    assert models.version_failed("m", 1, "x") is False
    assert models.version("m", 1).state == "AVAILABLE"


@pytest.mark.parametrize("state", ["STAGED", "STORED", "FAILED", "REFUSED"])
def test_label_is_only_set_to_an_available_version(session: Session, models: ModelRepository, state: str) -> None:
    publish(session, state=state)
    with pytest.raises(Conflict, match=state):
        models.set_label("m", "latest", 1)
    assert models.labels("m") == []


def test_label_put_keeps_the_previous_and_raises_the_revision(session: Session, models: ModelRepository) -> None:
    available(session)
    available(session)
    models.set_label("m", "live", 1, expected_revision=0)
    label = models.set_label("m", "live", 2, expected_revision=1)
    assert (label.version, label.previous, label.revision) == (2, 1, 2)
    label = models.set_label("m", "live", 2)  # the same again: a change all the same, with the way back kept
    assert (label.version, label.previous, label.revision) == (2, 1, 3)


@pytest.mark.parametrize("seen", [0, 2, 4])
def test_label_changed_meanwhile_is_a_failed_precondition(session: Session, models: ModelRepository, seen: int) -> None:
    available(session)
    for _ in range(3):
        models.set_label("m", "live", 1)
    with pytest.raises(PreconditionFailed):
        models.set_label("m", "live", 1, expected_revision=seen)
    assert models.label("m", "live").revision == 3


def test_label_moves_are_audited(session: Session, models: ModelRepository) -> None:
    available(session)
    available(session)
    models.set_label("m", "latest", 1, token_id="tok_1")
    entries = AuditRepository(session).list()[0]
    assert [(entry.action, entry.token_id, entry.detail["version"]) for entry in entries] == [
        ("label.set", "tok_1", 1),
        ("label.promoted", None, 2),
        ("label.promoted", None, 1),
    ]
    assert {entry.target for entry in entries} == {"m/latest"}


def test_lists_come_in_pages(session: Session, models: ModelRepository) -> None:
    for name in ("b", "a", "c"):
        publish(session, model=name)
    publish(session, model="a")
    page, cursor = models.list(page_size=2)
    assert [model.name for model in page] == ["a", "b"]
    page, cursor = models.list(page_size=2, after=cursor)
    assert ([model.name for model in page], cursor) == (["c"], None)
    page, cursor = models.versions("a", page_size=1)
    assert [version.number for version in page] == [2]
    assert [version.number for version in models.versions("a", page_size=1, after=cursor)[0]] == [1]
    with pytest.raises(InvalidInput):
        models.list(after="WzFd")  # [1]: a number, where names are listed


def test_wanted_are_the_labelled_their_predecessors_and_the_staged(session: Session, models: ModelRepository) -> None:
    for _ in range(3):
        available(session)
    models.set_label("m", "canary", 3)
    staged = publish(session)
    publish(session, state="STORED", label=None)
    available(session, model="other")
    wanted = ServedVersionRepository(session).wanted()
    shown = [(live.model, live.number, live.labels, live.previous, live.staged) for live in wanted]
    assert shown == [
        ("m", 2, [], True, False),
        ("m", 3, ["canary", "latest"], False, False),
        ("m", 4, [], False, True),
        ("other", 1, ["latest"], False, False),
    ]
    assert wanted[2].lineage_id == staged.lineage_id
    assert wanted[2].path.startswith("exports/")
    assert wanted[2].digest == "sha256:0"


def test_wanted_of_an_empty_registry_is_empty(session: Session) -> None:
    assert ServedVersionRepository(session).wanted() == []


def test_divided_label_holds_both_versions_until_it_is_set_again(session: Session, models: ModelRepository) -> None:
    for _ in range(3):
        available(session)
    division = Division(canary=2, per_mille=50, split_by="x-user")
    label = models.set_label("m", "latest", 3, token_id="tok_1", division=division)
    wanted = {live.number: live for live in ServedVersionRepository(session).wanted()}
    assert wanted[3].shares == [ServedShare("latest", label.revision, 2, 50, "x-user", None)]
    assert (wanted[2].previous, wanted[2].shares) == (True, [])
    [entry] = AuditRepository(session).list(page_size=1)[0]
    assert entry.detail == {"version": 3, "previous": 2, "revision": label.revision, "canary": 2, "per_mille": 50,
                            "split_by": "x-user"}  # fmt: skip
    models.set_label("m", "latest", 1)
    wanted = {live.number: live for live in ServedVersionRepository(session).wanted()}
    assert {number: live.shares for number, live in wanted.items()} == {1: [], 3: []}


def test_promotion_of_a_new_version_ends_the_division(session: Session, models: ModelRepository) -> None:
    available(session)
    available(session)
    models.set_label("m", "latest", 1, division=Division(canary=2, per_mille=50))
    available(session)
    label = models.label("m", "latest")
    assert (label.version, label.canary, label.per_mille) == (3, None, None)


def test_canary_must_be_available_and_another_version(session: Session, models: ModelRepository) -> None:
    available(session)
    publish(session, label=None)
    with pytest.raises(Conflict, match="STAGED"):
        models.set_label("m", "latest", 1, division=Division(canary=2, per_mille=50))
    with pytest.raises(NotFound):
        models.set_label("m", "latest", 1, division=Division(canary=9, per_mille=50))
    with pytest.raises(Conflict, match="another"):
        models.set_label("m", "latest", 1, division=Division(canary=1, per_mille=50))
