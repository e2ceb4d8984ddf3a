"""Commits of others are noticed without a query."""

from __future__ import annotations

from app.registry.commit_watch import CommitWatcher
from app.registry.db import Database
from app.registry.tokens import TokenRepository


def test_commits_are_noticed_once_and_only_commits(database: Database) -> None:
    changes = CommitWatcher(database.engine)
    assert changes.any()
    if database.engine.dialect.name != "sqlite":
        assert changes.any()
        return
    assert not changes.any()
    for _ in range(2):
        with database.session() as session:
            TokenRepository(session).create("one", ["read"])
        assert changes.any()
        assert not changes.any()
    with database.read() as session:
        TokenRepository(session).create("thrown away", ["read"])
    assert not changes.any()
    changes.close()
    assert changes.any()
