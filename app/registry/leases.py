"""One holder at a time, by the database's clock."""

from __future__ import annotations

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from app.registry.db import now, upsert
from app.registry.tables import Lease


class LeaseRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def take(self, name: str, holder: str, ttl: float) -> bool:
        """Takes or extends the lease for `ttl` seconds; False while somebody else holds it."""
        statement = upsert(self.session, Lease).values(name=name, holder=holder, expires_at=now() + ttl)
        taken = statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": statement.excluded.holder, "expires_at": statement.excluded.expires_at},
            where=or_(Lease.holder == holder, Lease.expires_at < now()),
        ).returning(Lease.name)
        return self.session.execute(taken).one_or_none() is not None

    def holder(self, name: str) -> str | None:
        """Who holds it now."""
        return self.session.scalar(select(Lease.holder).where(Lease.name == name, Lease.expires_at >= now()))

    def release(self, name: str, holder: str) -> None:
        """Gives it back before its time, so that the next need not wait."""
        self.session.execute(
            delete(Lease).where(Lease.name == name, Lease.holder == holder),
            execution_options={"synchronize_session": False},
        )
