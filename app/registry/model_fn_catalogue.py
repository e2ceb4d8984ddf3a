"""The operator's own `model_fn`s, as the workers that have them say."""

from __future__ import annotations

import builtins
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.registry.db import now, upsert
from app.registry.tables import CatalogueEntry


class CatalogueRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def put(self, name: str, description: str, params_schema: dict[str, Any]) -> None:
        """Adds or renews an entry.

        Args:
            name: of the entry point.
            params_schema: JSON schema of the function's `params`.
        """
        values = {"description": description, "params_schema": params_schema, "seen_at": now()}
        statement = upsert(self.session, CatalogueEntry).values(name=name, **values)
        self.session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))

    def list(self) -> builtins.list[CatalogueEntry]:
        """All entries by name."""
        return list(self.session.scalars(select(CatalogueEntry).order_by(CatalogueEntry.name)))
