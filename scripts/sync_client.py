#!/usr/bin/env python3
"""Writes the synchronous client from the asynchronous one: `scripts/sync_client.py`. A test compares the two."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "estimator_client"
NAMES = (
    "transport",
    "job",
    "grpc_calls",
    "dataset_calls",
    "job_calls",
    "model_calls",
    "predict_calls",
    "client",
)
_WORDS = (
    (r"from collections\.abc import AsyncIterator\b", "from collections.abc import Iterator"),
    (r"asynccontextmanager", "contextmanager"),
    (r"\bimport asyncio\n", "import time\n"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait \(self\.", "(self."),
    (r"\bawait ", ""),
    (r"\bAsync(?=[A-Z])", ""),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"\ba(close|read|iter_lines|iter_bytes)\b", r"\1"),
    (rf"\basync_({'|'.join(NAMES)})\b", r"\1"),
    (r"\bgrpc\.aio\b", "grpc"),
    (r"asynchronous Python client", "Python client"),
    (r", asynchronous\.", "."),
)


def synchronous(name: str) -> str:
    """The text of a synchronous module, not yet formatted."""
    source = (PACKAGE / f"async_{name}.py").read_text()
    source = source.replace(f"`{name}.py` is made from this file by `scripts/sync_client.py`", "\0")
    for pattern, replacement in _WORDS:
        source = re.sub(pattern, replacement, source)
    if source.count("import time\n") > 1:
        source = source.replace("import time\n", "", 1)
    return source.replace("\0", f"Made from `async_{name}.py` by scripts/sync_client.py: change that one")


def formatted(name: str) -> str:
    """As it stands in the package."""
    ruff = [sys.executable, "-m", "ruff"]
    text = synchronous(name)
    for command in (["check", "--select", "I", "--fix", "--exit-zero", "--quiet"], ["format"]):
        done = subprocess.run(
            [*ruff, *command, "--stdin-filename", f"estimator_client/{name}.py", "-"],
            cwd=PACKAGE.parent,
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        text = done.stdout
    return text


if __name__ == "__main__":
    for module in NAMES:
        (PACKAGE / f"{module}.py").write_text(formatted(module))
