"""The environments that `scripts/serving-clients` makes, and a program run in one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".serving-clients"
STUBS = "tensorflow-serving-api"
NAMES = (STUBS, "ovmsclient", "tritonclient", "kserve")


def missing() -> list[str]:
    return [name for name in NAMES if not (HOME / name / "made").exists()]


def run(name: str, program: str, *arguments: str) -> Any:
    """What a program of `tests/protocols/clients` prints, in the environment of that client."""
    python = sys.executable if name == STUBS else str(HOME / name / "bin" / "python")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(HOME / name) if name == STUBS else ""}
    path = Path(__file__).parent / "clients" / program
    done = subprocess.run(
        [python, str(path), *arguments], env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])
