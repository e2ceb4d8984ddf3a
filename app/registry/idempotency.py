"""`Idempotency-Key`: the same request sent again gets the first one's answer and does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput
from app.registry.db import now, upsert
from app.registry.tables import IdempotencyKey

IN_FLIGHT_S = 120.0
"""After this, a request that never finished is taken for dead (its process died), and its key may be used again."""
_OTHER_REQUEST = "This Idempotency-Key was used for another request. Take a new key for a new request."


@dataclass(frozen=True)
class StoredResponse:
    status: int
    headers: dict[str, str]
    body: dict[str, Any] | None


class IdempotencyRepository:
    """Short requests begin and finish in the transaction of their work: a process that dies leaves nothing behind. Long
    ones (uploads) begin in one transaction, finish in that of their last change, and `abandon` on an error."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def find(self, token_id: str, key: str, request_digest: str, *, ttl_s: float) -> StoredResponse | None:
        """The answer of a finished request; None: there is none (yet).

        Raises:
            InvalidInput: the key was used for another request.
        """
        row = self.session.scalars(
            select(IdempotencyKey).where(
                IdempotencyKey.token_id == token_id,
                IdempotencyKey.key == key,
                IdempotencyKey.created_at >= now() - ttl_s,
            )
        ).one_or_none()
        if row is None:
            return None
        if row.request_digest != request_digest:
            raise InvalidInput(_OTHER_REQUEST)
        return StoredResponse(row.status, dict(row.headers), row.body) if row.status is not None else None

    def begin(
        self, token_id: str, key: str, request_digest: str, *, ttl_s: float, in_flight_s: float = IN_FLIGHT_S
    ) -> StoredResponse | None:
        """None: the first of its kind, go on. Else the first one's answer.

        Args:
            request_digest: of method, path and body.
            ttl_s: how long answers are remembered.

        Raises:
            Conflict: the first one is still in flight.
            InvalidInput: the key was used for another request.
        """
        fresh: dict[str, Any] = {
            "request_digest": request_digest,
            "status": None,
            "headers": {},
            "body": None,
            "created_at": now(),
        }
        begun = IdempotencyKey.status.is_(None) & (IdempotencyKey.created_at < now() - in_flight_s)
        statement = upsert(self.session, IdempotencyKey).values(token_id=token_id, key=key, **fresh)
        taken = statement.on_conflict_do_update(
            index_elements=["token_id", "key"],
            set_=fresh,
            where=or_(begun, IdempotencyKey.created_at < now() - ttl_s),
        ).returning(IdempotencyKey.key)
        if self.session.execute(taken).one_or_none() is not None:
            return None
        row = self.session.scalars(
            select(IdempotencyKey).where(IdempotencyKey.token_id == token_id, IdempotencyKey.key == key),
            execution_options={"populate_existing": True},
        ).one()
        if row.request_digest != request_digest:
            raise InvalidInput(_OTHER_REQUEST)
        if row.status is None:
            error = Conflict("The first request with this Idempotency-Key is still in flight.")
            error.retry_after_s = 1.0
            raise error
        return StoredResponse(row.status, dict(row.headers), row.body)

    def finish(
        self, token_id: str, key: str, status: int, headers: dict[str, str], body: dict[str, Any] | None
    ) -> None:
        """Keeps the answer, in the transaction of what the request did."""
        self.session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.token_id == token_id, IdempotencyKey.key == key)
            .values(status=status, headers=headers, body=body),
            execution_options={"synchronize_session": False},
        )

    def abandon(self, token_id: str, key: str) -> None:
        """Frees the key of a request that failed, so that it can be sent again."""
        self.session.execute(
            delete(IdempotencyKey).where(
                IdempotencyKey.token_id == token_id, IdempotencyKey.key == key, IdempotencyKey.status.is_(None)
            ),
            execution_options={"synchronize_session": False},
        )
