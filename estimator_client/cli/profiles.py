"""Profiles: named services with their tokens, in a file that only its owner can read."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Profile:
    """Where a service is and the token to use there."""

    url: str
    token: str


@dataclass
class Profiles:
    """All profiles; `current` is used when a command names none."""

    current: str | None = None
    profiles: dict[str, Profile] = field(default_factory=dict)

    @classmethod
    def load(cls) -> Profiles:
        """What the file holds; nothing without one. Raises ValueError when it cannot be understood."""
        try:
            stored = json.loads(path().read_text())
            profiles = {name: Profile(**profile) for name, profile in stored["profiles"].items()}
            return cls(stored["current"], profiles)
        except FileNotFoundError:
            return cls()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path()} is damaged; remove it and log in again.") from error

    def save(self) -> None:
        """Replaces the file at once, readable by its owner alone."""
        target = path()
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = target.with_name(f"{target.name}.{os.getpid()}")
        content = {"current": self.current, "profiles": {name: asdict(one) for name, one in self.profiles.items()}}
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=1)
        new.replace(target)


def path() -> Path:
    """ESTIMATOR_PROFILES, or estimator-service/profiles.json in the user's configuration directory."""
    if named := os.environ.get("ESTIMATOR_PROFILES"):
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "estimator-service" / "profiles.json"
