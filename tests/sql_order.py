"""Refuses SQL whose order of rows rests on luck: part of a list without an order, or an order that leaves ties."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Engine, event

#: columns that end an order without ties: keys, and numbers that are unique in what was selected
_UNIQUE = {"id", "key", "number", "name", "step", "label", "queue", "target_id"}
_ORDER = re.compile(r"\bORDER BY (.+?)(?= LIMIT| FOR |\)|$)")


def install() -> None:
    """For all engines of this process."""
    event.listen(Engine, "before_cursor_execute", _check)


def fault(statement: str) -> str:
    """What is wrong with a statement; empty when its order is defined."""
    plain = " ".join(statement.split())
    orders = _ORDER.findall(plain)
    if not plain.startswith("SELECT") or "FROM sqlite_master" in plain or "pg_catalog" in plain:
        return ""
    if "LIMIT" in plain and not orders:
        return "a LIMIT without ORDER BY"
    for order in orders:
        last = order.rpartition(",")[2].strip().removesuffix(" DESC").removesuffix(" ASC").rpartition(".")[2].strip('"')
        if last not in _UNIQUE:
            return f"an ORDER BY that leaves ties: its last column is {last}"
    return ""


def _check(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
    found = fault(statement)
    assert not found, f"{found}: {statement}"
