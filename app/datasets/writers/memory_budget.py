"""Memory that all columns of one data set share while it is written."""

from __future__ import annotations

from collections.abc import Callable


class MemoryBudget:
    """What dictionaries and sets of distinct values may take together, however many columns there are.

    Attributes:
        left: bytes; a column that takes the last of them goes on without, and gives back what it took.
        dictionary_entries: distinct strings that one column's dictionary may have.
        estimates: of columns that may have taken more than they need, what gives the rest back.
    """

    def __init__(self, total: int = 64 * 2**20, dictionary_entries: int = 200_000) -> None:
        self.left = total
        self.dictionary_entries = dictionary_entries
        self.estimates: dict[object, Callable[[], None]] = {}

    @property
    def over(self) -> bool:
        """Whether all is taken, and more."""
        if self.left < 0:
            for correct in list(self.estimates.values()):
                correct()
        return self.left < 0
