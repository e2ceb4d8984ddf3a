"""Readiness follows the database and its revision, not the broker."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from app.registry.db import HEAD
from tests.api.conftest import Api


@pytest.mark.parametrize(("revision", "words"), [("0000", "not been migrated"), ("9999", "newer release")])
def test_database_of_another_revision_is_not_ready(api: Api, revision: str, words: str) -> None:
    database = api.service.database
    assert api.http.get("/readyz").status_code == 200
    for number in (revision, HEAD):
        with database.session() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :number"), {"number": number})
        answer = api.http.get("/readyz")
        if number == HEAD:
            assert answer.status_code == 200
        else:
            assert answer.status_code == 503
            assert words in answer.json()["detail"]
            assert "retry-after" in answer.headers
    assert api.http.get("/healthz").status_code == 200
