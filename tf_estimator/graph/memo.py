"""Memo: what was made once for a traced model, by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Memo:
    """Values made on first use; they live as long as the traced model that owns the memo."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self._made)

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """The value of `key`; `make` is called the first time."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]
