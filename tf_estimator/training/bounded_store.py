"""Values by key, of which there are only so many at a time."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class BoundedStore(Generic[T]):
    """The value that was taken longest ago goes first.

    Args:
        most: how many values are kept.
        most_bytes: what they may take together; a larger one is not kept.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.most, self.most_bytes = most, most_bytes
        self._values: OrderedDict[Any, tuple[T, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Any) -> T | None:
        """The value that was kept under a key, if it still is."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: Any, value: T, size: int) -> None:
        """Keeps a value that takes so many bytes."""
        if size > self.most_bytes:
            return
        self._values[key] = value, size
        self._values.move_to_end(key)
        while len(self._values) > self.most or sum(size for _, size in self._values.values()) > self.most_bytes:
            self._values.popitem(last=False)

    def drop(self, key: Any) -> None:
        """Keeps what is under a key no longer."""
        self._values.pop(key, None)
