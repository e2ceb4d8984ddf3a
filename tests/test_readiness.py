"""When the database is asked whether it is ready."""

from __future__ import annotations

import pytest

from app import readiness
from app.errors import Unavailable
from app.registry.db import Database
from app.registry.tokens import TokenRepository


def test_database_is_asked_again_after_a_commit_a_failure_or_some_seconds(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Exception | None] = []
    answers: list[Exception | None] = [None, None, Unavailable("It is away."), None]

    def ask(of: Database) -> dict[str, int]:
        asked.append(answers[len(asked) % len(answers)])
        if asked[-1] is not None:
            raise asked[-1]
        return {"default": len(asked)}

    monkeypatch.setattr(readiness, "_look_at_database", ask)
    look = readiness._DatabaseLook(database)
    try:
        if database.engine.dialect.name != "sqlite":
            assert [look(), look()] == [{"default": 1}, {"default": 2}]  # nothing is known of commits there
            return
        assert [look(), look()] == [{"default": 1}, {"default": 1}]
        with database.session() as session:
            TokenRepository(session).create("somebody", ["read"])
        assert [look(), look()] == [{"default": 2}, {"default": 2}]
        monkeypatch.setattr(readiness, "_ALL_S", 0.0)
        with pytest.raises(Unavailable):
            look()
        monkeypatch.setattr(readiness, "_ALL_S", 1e6)
        assert [look(), look()] == [{"default": 4}, {"default": 4}]
    finally:
        look.close()
