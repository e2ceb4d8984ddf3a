"""The audit: callers and their actions."""

from __future__ import annotations

import builtins
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.registry.db import now
from app.registry.pagination import page
from app.registry.tables import AuditEntry


class AuditRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, token_id: str | None, action: str, target: str, detail: dict[str, Any] | None = None) -> None:
        """Notes a deed.

        Args:
            token_id: whose token; None for the service itself or a caller without one.
            action: a noun and a verb, for example `label.set` or `token.refused`.
            target: an id or name made by the server; never a caller's raw text.
        """
        values = {"token_id": token_id, "action": action, "target": target[:200], "detail": detail or {}}
        self.session.execute(insert(AuditEntry).values(at=now(), **values))

    def list(self, *, page_size: int = 50, after: str | None = None) -> tuple[builtins.list[AuditEntry], str | None]:
        """A page, newest first, and the cursor of the next.

        Raises:
            InvalidInput: `after` is no cursor of this list.
        """
        return page(self.session, select(AuditEntry), [AuditEntry.id], page_size=page_size, after=after)
