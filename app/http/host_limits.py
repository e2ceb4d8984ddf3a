"""Limits that hold for all lanes of a host together: what a token has in flight, its rates, and connections."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from app.host_table import HostTable, Row
from app.http.rate_limit import Account

_ROWS, _BYTES = 0, 1
_CONNECTIONS = 0
_LEVELS = {"requests": 0, "instances": 1, "predictions": 2}


def account_maker(table: HostTable | None) -> Callable[[str], Account]:
    """Makes the account of a token: one that all lanes share, or its own where there is no table or no room in it."""

    def make(token_id: str) -> Account:
        row = table.row(f"token {token_id}") if table is not None else None
        return Account() if row is None else HostAccount(row)

    return make


class HostAccount(Account):
    """What one token uses, told to the other lanes."""

    __slots__ = ("_bytes", "_row", "_rows")

    alone = False

    def __init__(self, row: Row) -> None:
        self._row = row
        super().__init__()

    @property
    def rows(self) -> int:
        return self._rows

    @rows.setter
    def rows(self, value: int) -> None:
        self._rows = value
        self._row.set(_ROWS, value)

    @property
    def bytes(self) -> int:
        return self._bytes

    @bytes.setter
    def bytes(self, value: int) -> None:
        self._bytes = value
        self._row.set(_BYTES, value)

    @property
    def valid(self) -> bool:
        return self._row.valid

    def rows_elsewhere(self) -> int:
        return self._row.elsewhere(_ROWS)

    def bytes_elsewhere(self) -> int:
        return self._row.elsewhere(_BYTES)

    def lock(self) -> AbstractContextManager[None]:
        return self._row.lock()

    def level(self, what: str) -> tuple[float, float] | None:
        return self._row.level(_LEVELS[what])

    def set_level(self, what: str, level: float, filled: float) -> None:
        self._row.set_level(_LEVELS[what], level, filled)


class HostConnections:
    """Connections of the other lanes. An address that finds no room in the table is counted by each lane for itself."""

    def __init__(self, table: HostTable) -> None:
        self._table = table
        self._rows: dict[str, Row] = {}

    def all(self) -> int:
        return self._table.connections_elsewhere()

    def of_address(self, address: str) -> int:
        row = self._row(address)
        return 0 if row is None else row.elsewhere(_CONNECTIONS)

    def here(self, address: str, of_address: int, total: int) -> None:
        self._table.set_connections(total)
        row = self._row(address)
        if row is not None:
            row.set(_CONNECTIONS, of_address)
            if not of_address:
                del self._rows[address]

    def _row(self, address: str) -> Row | None:
        row = self._rows.get(address)
        if row is None or not row.valid:
            row = self._table.row(f"address {address}")
            if row is not None:
                self._rows[address] = row
        return row
