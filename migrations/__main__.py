"""`python -m migrations`: brings the registry of the settings to this release's revision, and ends.

Every API does so at its start too; as a step of its own it keeps a rollout from starting when it fails.
"""

from __future__ import annotations

import sys

from app.config import Settings
from app.registry.db import make_engine, migrate


def main() -> int:
    """0 when the registry fits this release; 1 when a newer release has migrated it."""
    settings = Settings()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = migrate(make_engine(settings))
    if state != "ok":
        print(f"The registry is {state}: a newer release has migrated it. Run that release.", file=sys.stderr)
        return 1
    print("The registry fits this release.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
