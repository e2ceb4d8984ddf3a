"""Whether anything was committed since one last looked: asked five times a second, so without a query."""

from __future__ import annotations

import sqlite3

from sqlalchemy import Engine


class CommitWatcher:
    """Of one database. SQLite counts the commits of others in memory that its connections share; a look costs some
    microseconds and no thread. Of any other database nothing is known, and each look may find something new.

    Calls are to come one at a time.
    """

    def __init__(self, engine: Engine) -> None:
        self._path = engine.url.database if engine.dialect.name == "sqlite" else None
        self._connection: sqlite3.Connection | None = None
        self._opened = 0
        self._seen: tuple[int, int] | None = None

    def any(self) -> bool:
        """Whether there may be something new since the last call; True at the first."""
        before, self._seen = self._seen, self.version()
        return self._seen is None or self._seen != before

    def version(self) -> tuple[int, int] | None:
        """Equal to an earlier one when nothing was committed since; None when that is unknown."""
        if not self._path:
            return None
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, timeout=0.0, check_same_thread=False)
                self._opened += 1  # each connection counts from its own start
            (now,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self.close()
            return None
        return self._opened, int(now)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._seen = None
