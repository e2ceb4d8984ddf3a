"""Access tokens. The secret is shown once, when it is made; the registry keeps its SHA-256."""

from __future__ import annotations

import builtins
import hashlib
import hmac
import secrets
from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, NotFound, quote_name
from app.ids import new_id
from app.registry.db import now
from app.registry.tables import Token

SCOPES = ("read", "submit", "predict", "admin")


def digest_of(secret: str) -> str:
    """What is stored of a secret. A plain hash will do: the secret has 256 random bits, so nobody can guess it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class TokenRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def create(self, name: str, scopes: Iterable[str]) -> tuple[Token, str]:
        """A new token and its secret, which cannot be had again.

        Raises:
            InvalidInput: no scope, or one that does not exist.
        """
        asked = set(scopes)
        for scope in sorted(asked - set(SCOPES)):
            raise InvalidInput.at("/scopes", f"There is no scope {quote_name(scope)}; there are {', '.join(SCOPES)}.")
        if not asked:
            raise InvalidInput.at("/scopes", f"Give at least one of the scopes {', '.join(SCOPES)}.")
        secret = "est_" + secrets.token_urlsafe(32)
        row = Token(
            id=new_id("tok"),
            name=name[:100],
            digest=digest_of(secret),
            scopes=[scope for scope in SCOPES if scope in asked],
            created_at=now(),
        )
        self.session.add(row)
        self.session.flush()
        return row, secret

    def find(self, secret: str) -> Token | None:
        """The token of a secret; None when it is unknown or revoked. The look-up is by the hash, which tells a
        stop-watch nothing of the secret."""
        digest = digest_of(secret)
        row = self.session.scalar(select(Token).where(Token.digest == digest))
        if row is None or not hmac.compare_digest(row.digest, digest) or row.revoked_at is not None:
            return None
        return row

    def revoke(self, token_id: str) -> Token:
        """Ends a token for good; revoking twice changes nothing.

        Raises:
            NotFound: no such token.
            Conflict: it is the last valid one with the scope 'admin'.
        """
        # All valid ones are locked, in one order: two admins who revoke each other at once must not both succeed.
        valid = select(Token).where(Token.revoked_at.is_(None)).order_by(Token.id).with_for_update()
        admins = [row.id for row in self.session.scalars(valid) if "admin" in row.scopes]
        row = self.session.get(Token, token_id)
        if row is None:
            raise NotFound("There is no token of that id.")
        if admins == [token_id]:
            raise Conflict("This is the last valid token with the scope 'admin'. Make another one first.")
        if row.revoked_at is None:
            row.revoked_at = now()
            self.session.flush()
        return row

    def list(self) -> builtins.list[Token]:
        """All tokens, revoked ones too, oldest first."""
        return list(self.session.scalars(select(Token).order_by(Token.created_at, Token.id)))

    def count(self) -> int:
        """How many are valid."""
        return self.session.scalar(select(func.count()).select_from(Token).where(Token.revoked_at.is_(None))) or 0
