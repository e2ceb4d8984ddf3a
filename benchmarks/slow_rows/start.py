"""Start of the service in a new directory: to the first answer of `/readyz`, and to a worker's first claim."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from benchmarks.slow_row import Row, less_is_better
from scripts.chaos_parts.service import ROOT

READY_S, CLAIM_S = 1.5, 2.0
_TIMES = 5
_PATIENCE_S = 120.0


def measure() -> list[Row]:
    ready, present = [], []
    for _ in range(_TIMES):
        with tempfile.TemporaryDirectory(prefix="bench-slow-") as directory:
            one, other = _start(Path(directory))
            ready.append(one)
            present.append(other)
    print("  to /readyz " + " ".join(f"{s:.2f}" for s in sorted(ready)), end="; ")
    print("a worker that takes jobs " + " ".join(f"{s:.2f}" for s in sorted(present)) + " (s)")
    return [
        less_is_better("start of the service to /readyz, new directory (s)", statistics.median(ready), READY_S),
        less_is_better("start of the service to a worker that takes jobs (s)", statistics.median(present), CLAIM_S),
    ]


def _start(directory: Path) -> tuple[float, float]:
    """Starts the service and stops it; seconds to `/readyz`, and to the first worker on the list."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "workers.service", "--port", str(port), "--data-dir", str(directory)]
    begun = time.monotonic()
    with (directory / "service.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=2) as client:
            ready = _until(begun, lambda: client.get("/readyz").status_code == 200)
            token = (directory / "admin-token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}"}
            present = _until(begun, lambda: bool(client.get("/v1/workers", headers=headers).json()["workers"]))
    finally:
        process.terminate()
        process.wait(60)
    return ready, present


def _until(begun: float, reached: Callable[[], bool]) -> float:
    """Seconds from `begun` until it is reached."""
    while time.monotonic() - begun < _PATIENCE_S:
        try:
            if reached():
                return time.monotonic() - begun
        except httpx.HTTPError:
            pass
        time.sleep(0.01)
    raise RuntimeError(f"the service did not come up within {_PATIENCE_S:.0f} s")
