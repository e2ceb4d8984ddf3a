"""Limits of each token: requests, predictions and rows per second, and rows and bytes in flight.

So one client's requests cannot starve another's. All is kept in this process, on the event loop's thread, unless lanes
share it (`app.http.host_limits`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from app.errors import Overloaded

_BURST_S = 2.0
_MOST_ACCOUNTS = 10_000


@dataclass(frozen=True)
class TokenLimits:
    """Limits of each token; 0: none.

    Attributes:
        requests_per_s, requests_burst: requests other than predictions.
        predictions_per_s, rows_per_s: predictions and their rows; up to two seconds' worth may come at once.
        rows_in_flight: rows of predictions that wait or run.
        bytes_in_flight: bytes of request bodies in memory, after decompression; uploads are not kept there.
    """

    requests_per_s: float = 0.0
    requests_burst: int = 1
    predictions_per_s: float = 0.0
    rows_per_s: float = 0.0
    rows_in_flight: int = 0
    bytes_in_flight: int = 0


class Account:
    """What one token uses now: rows and bytes in flight."""

    __slots__ = ("bytes", "levels", "rows")

    rows: int
    bytes: int
    alone = True
    """No other lane has some of it."""

    def __init__(self) -> None:
        self.rows = 0
        self.bytes = 0
        self.levels: dict[str, tuple[float, float]] = {}

    @property
    def valid(self) -> bool:
        """It still stands for its token."""
        return True

    def rows_elsewhere(self) -> int:
        """In other lanes."""
        return 0

    def bytes_elsewhere(self) -> int:
        return 0

    def lock(self) -> AbstractContextManager[None]:
        """Around a look at a level and its change."""
        return nullcontext()

    def level(self, what: str) -> tuple[float, float] | None:
        """A bucket's level and when it was filled; None: it is full."""
        return self.levels.get(what)

    def set_level(self, what: str, level: float, filled: float) -> None:
        self.levels[what] = (level, filled)


class Accounts:
    """The accounts of all tokens, by the token's id.

    Args:
        make: a token's account.
    """

    def __init__(
        self,
        limits: TokenLimits,
        *,
        make: Callable[[str], Account] = lambda token_id: Account(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._clock = clock
        self.limits = limits
        self._accounts: dict[str, Account] = {}
        self._rated = bool(limits.predictions_per_s or limits.rows_per_s)
        self._most_rows = limits.rows_in_flight or math.inf
        self._most_bytes = limits.bytes_in_flight or math.inf

    def for_token(self, token_id: str) -> Account:
        account = self._accounts.get(token_id)
        if account is None or not account.valid:
            if len(self._accounts) >= _MOST_ACCOUNTS:
                self._accounts = {name: kept for name, kept in self._accounts.items() if kept.rows or kept.bytes}
            account = self._accounts[token_id] = self._make(token_id)
        return account

    def take_request(self, account: Account) -> None:
        """Counts a request that is no prediction. Raises Overloaded."""
        limits = self.limits
        if limits.requests_per_s:
            self._take(account, "requests", 1, limits.requests_per_s, float(limits.requests_burst))

    def for_prediction(self, token_id: str, rows: int, size: int) -> Account:
        """A token's account, once a prediction and the bytes of its body are within the limits; it is counted. Raises
        Overloaded."""
        account = self._accounts.get(token_id)
        if (
            account is not None
            and account.alone
            and not self._rated
            and account.rows + rows <= self._most_rows
            and account.bytes + size <= self._most_bytes
        ):
            return account  # the usual case, without a call
        account = self.for_token(token_id)
        self.take_prediction(account, rows)
        self.check_bytes(account, size)
        return account

    def take_prediction(self, account: Account, rows: int) -> None:
        """Counts a prediction. Raises Overloaded, and counts nothing then."""
        limits = self.limits
        taken = account.rows + account.rows_elsewhere()
        if limits.rows_in_flight and taken and taken + rows > limits.rows_in_flight:
            raise Overloaded(
                f"More than {limits.rows_in_flight} instances of this token wait for predictions. Try again.",
                retry_after_s=1.0,
            )
        if self._rated:
            if limits.rows_per_s:
                burst = max(_BURST_S * limits.rows_per_s, 1.0)
                self._take(account, "instances", rows, limits.rows_per_s, burst)
            if limits.predictions_per_s:
                burst = max(_BURST_S * limits.predictions_per_s, 1.0)
                self._take(account, "predictions", 1, limits.predictions_per_s, burst)

    def check_bytes(self, account: Account, size: int) -> None:
        """Raises Overloaded when so many bytes more would be too many."""
        limit = self.limits.bytes_in_flight
        taken = account.bytes + account.bytes_elsewhere()
        if limit and taken and taken + size > limit:
            raise Overloaded(
                f"The bodies of this token's requests are more than {limit} bytes together. Send fewer at once.",
                retry_after_s=1.0,
            )

    def _take(self, account: Account, what: str, amount: int, per_s: float, burst: float) -> None:
        """A bucket that fills with `per_s`. What needs more than the whole bucket is taken when that is full, and the
        debt is waited off by what comes after it."""
        with account.lock():
            now = self._clock()
            level, filled = account.level(what) or (burst, now)
            level = min(burst, level + max(0.0, now - filled) * per_s)
            needed = min(float(amount), burst)
            enough = level >= needed
            account.set_level(what, level - amount if enough else level, now)
        if not enough:
            raise Overloaded(
                f"More than {per_s:g} {what} per second with this token. Send fewer, or wait.",
                retry_after_s=(needed - level) / per_s,
            )
