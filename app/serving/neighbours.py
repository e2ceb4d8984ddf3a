"""Others on this host that serve the same models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from app.serving.serving_version import ServingVersion
    from app.serving.versions import Models


class Neighbours(Protocol):
    """What others on this host have in memory, and which labels they follow."""

    def tell(self, models: Models) -> None:
        """Told of ours after each change."""

    def everywhere(self, version: ServingVersion) -> bool:
        """Whether all others that serve have it, or cannot."""

    def follow(self, model: str, label: str, revision: int) -> bool:
        """Whether all others that serve answer by the label as that revision of it says, or a later one."""


class NoNeighbours:
    """Nobody else serves here."""

    def tell(self, models: Models) -> None: ...

    def everywhere(self, version: ServingVersion) -> bool:
        return True

    def follow(self, model: str, label: str, revision: int) -> bool:
        return True
