"""Second step of admission: the token of a request, its scope, and its rate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from app.errors import Forbidden, Unauthenticated
from app.http.auth import TokenInfo, check_scope, scope_needed
from app.http.rate_limit import Account, Accounts
from app.serving.verbs import is_prediction

Authenticate = Callable[[str], Awaitable[TokenInfo | None]]
Refused = Callable[[TokenInfo | None, str, str, str], None]


class TokenCheck:
    """Tokens of requests, with an audit entry for each refusal.

    Args:
        authenticate: a secret's `TokenInfo`, None if the secret is unknown or revoked.
        accounts: use of the service by each token.
        refused: called with (token or None, method, path, reason) for each 401 and 403.
    """

    def __init__(self, authenticate: Authenticate, accounts: Accounts, refused: Refused | None) -> None:
        self._authenticate = authenticate
        self._refused = refused or (lambda token, method, path, why: None)
        self.accounts = accounts

    async def authenticate(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> TokenInfo:
        """Raises Unauthenticated: no token, or one that is unknown or revoked."""
        scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not secret:
            raise Unauthenticated("Send the header `Authorization: Bearer TOKEN`.")
        try:
            token = await self._authenticate(secret.strip().decode("ascii"))
        except UnicodeDecodeError:
            token = None
        if token is None:
            self._refused(None, method, path, "unknown or revoked token")
            raise Unauthenticated("The token is unknown or was revoked.")
        return token

    def authorize(self, token: TokenInfo, method: str, path: str) -> Account:
        """The account of the token; the request is counted in it, unless it is a prediction.

        Raises:
            Forbidden: the token lacks the scope that the path needs.
            Overloaded: too many requests of this token.
        """
        account = self.accounts.for_token(token.id)
        try:
            check_scope(token, scope_needed(method, path))
        except Forbidden as error:
            self._refused(token, method, path, error.detail)
            raise
        if not is_prediction(path):
            self.accounts.take_request(account)
        return account
