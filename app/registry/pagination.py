"""Keyset pages: an opaque cursor says where the last page ended, so a page costs the same however deep it is and does
not shift when rows are added."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.errors import InvalidInput

T = TypeVar("T")

MAX_PAGE = 1000


def page(
    session: Session,
    query: Select[T],
    keys: Sequence[InstrumentedAttribute[Any]],
    *,
    page_size: int,
    after: str | None,
    newest_first: bool = True,
) -> tuple[list[T], str | None]:
    """One page of `query` in the order of `keys` (which must be unique together, and indexed), and the next cursor.

    Raises:
        InvalidInput: `after` is not a cursor that this list gave.
    """
    size = max(1, min(page_size, MAX_PAGE))
    if after is not None:
        values = _decode(after, keys)
        position = tuple_(*keys)
        query = query.where(position < tuple_(*values) if newest_first else position > tuple_(*values))
    order = [key.desc() if newest_first else key.asc() for key in keys]
    rows = list(session.scalars(query.order_by(*order).limit(size + 1)))
    if len(rows) <= size:
        return rows, None
    rows = rows[:size]
    return rows, _encode([getattr(rows[-1], key.key) for key in keys])


def _encode(values: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def _decode(cursor: str, keys: Sequence[InstrumentedAttribute[Any]]) -> list[Any]:
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    if not isinstance(values, list) or len(values) != len(keys):
        raise _not_ours()
    for value, key in zip(values, keys, strict=True):
        wanted = key.type.python_type
        if type(value) is not wanted or not _can_be_bound(value):
            raise _not_ours()
    return values


def _can_be_bound(value: Any) -> bool:
    """Whether each database takes it as a parameter: no integer above 64 bits, no half surrogate, no NUL, no NaN."""
    if isinstance(value, str):
        return "\0" not in value and all(not "\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _not_ours() -> InvalidInput:
    return InvalidInput.at(
        "/page_token", "The page token is not one of this list. Take `next_page_token` as it was given."
    )
