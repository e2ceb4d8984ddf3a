"""How Alembic meets the database: on the connection `app.registry.migrations` gives it, inside its transaction; from
the command line (`python -m alembic …`, see `[tool.alembic]` in pyproject.toml) on the database of the settings."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from app.config import Settings
from app.registry.db import make_engine
from app.registry.tables import Base, CleanText


def _render(kind: str, item: Any, autogen: Any) -> str | Literal[False]:
    """A migration is history: it names the column's type in the database, not a class of today's code."""
    return "sa.Text()" if kind == "type" and isinstance(item, CleanText) else False


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        compare_server_default=True,
        render_item=_render,
        render_as_batch=True,  # SQLite alters a table by copying it
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    with make_engine(Settings()).begin() as own:
        _run(own)
