from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound
from app.ids import new_id
from app.registry.datasets import DatasetRepository
from app.registry.deletion import DeletionRepository
from app.registry.models import ModelRepository
from tests.registry.conftest import make_claim, make_dataset, make_export, make_job
from tests.repositories import attempts


@pytest.fixture
def datasets(session: Session) -> DatasetRepository:
    return DatasetRepository(session)


def test_same_digest_gives_the_row_that_is_there(session: Session, datasets: DatasetRepository) -> None:
    first = make_dataset(session, digest="sha256:1")
    again = make_dataset(session, digest="sha256:1", name="other name")
    assert again.id == first.id
    assert again.path == first.path
    assert datasets.find_by_digest("sha256:1") is first
    assert datasets.find_by_digest("sha256:2") is None


def test_get_and_find(session: Session, datasets: DatasetRepository) -> None:
    row = make_dataset(session)
    assert datasets.get(row.id) is row
    assert datasets.find(new_id("ds")) is None
    with pytest.raises(NotFound):
        datasets.get(new_id("ds"))


def test_columns_come_back_as_they_were(session: Session, datasets: DatasetRepository) -> None:
    columns = [{"name": "b\0\ud800", "vocabulary": ["ü", "\0"], "mean": 0.1}, {"name": "a"}]
    row = make_dataset(session, columns=columns)
    session.refresh(row)
    assert row.columns == columns


def test_list_gives_pages_newest_first(session: Session, datasets: DatasetRepository) -> None:
    made = [make_dataset(session).id for _ in range(3)]
    page, cursor = datasets.list(page_size=2)
    assert [row.id for row in page] == made[:0:-1]
    page, cursor = datasets.list(page_size=2, after=cursor)
    assert ([row.id for row in page], cursor) == (made[:1], None)


def test_delete_removes_the_row(session: Session, datasets: DatasetRepository) -> None:
    row = make_dataset(session)
    DeletionRepository(session).dataset(row.id).apply()
    with pytest.raises(NotFound):
        DeletionRepository(session).dataset(row.id)


def test_delete_is_refused_while_a_job_needs_it(session: Session, datasets: DatasetRepository) -> None:
    data = make_dataset(session)
    job = make_job(session, spec={"data": {"eval": {"dataset": data.id}}})
    with pytest.raises(Conflict, match=f"{job.id} .QUEUED."):
        DeletionRepository(session).dataset(data.id).apply()
    claim = make_claim(session, job)
    with pytest.raises(Conflict, match="RUNNING"):
        DeletionRepository(session).dataset(data.id).apply()
    attempts(session).fail(claim.job_id, 1, "invalid_data", "x")
    DeletionRepository(session).dataset(data.id).apply()


@pytest.mark.parametrize("exported_by", ["the training job", "a job of its own"])
def test_delete_is_refused_while_a_version_came_from_it(
    session: Session, datasets: DatasetRepository, exported_by: str
) -> None:
    data = make_dataset(session)
    train = make_claim(session, make_job(session, spec={"data": {"train": {"dataset": data.id}}}))
    maker = train if exported_by == "the training job" else make_claim(session, make_job(session, type="export"))
    export = make_export(session, maker, train_job_id=train.job_id)
    version = ModelRepository(session).create_version("m", export.id, maker.job_id, {}, "STORED", None)
    for claim in {train.job_id: train, maker.job_id: maker}.values():
        attempts(session).succeed(claim.job_id, 1, {})
    with pytest.raises(Conflict, match="Version 1 of model m"):
        DeletionRepository(session).dataset(data.id).apply()
    assert datasets.versions_of(data.id) == [version]
