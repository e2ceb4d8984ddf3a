"""Runs the steps, as process 1 of namespaces of the run's own: with it end all hosts, their network and their mounts.

python -m scripts.cluster_parts.inside DIRECTORY
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from scripts import demo
from scripts.chaos_parts import witness
from scripts.cluster_parts.cluster import Cluster, Late
from scripts.cluster_parts.report import Report
from scripts.cluster_parts.steps import STEPS, Trial
from scripts.cluster_parts.verdict import nothing_lost

console = Console()


def run(place: Path) -> Report:
    report = Report(console)
    report.begin("Starting five hosts")
    cluster = Cluster(place)
    began = time.monotonic()
    try:
        cluster.start()
        with cluster.sql() as connection:
            witness.install(connection, "postgresql")
        report.check("PostgreSQL, Redis, SeaweedFS, two APIs and two workers run", True)
    except (Late, demo.DemoFailed) as error:
        report.steps[-1].why = str(error)
        report.tell(cluster.last_words())
        return report
    report.steps[-1].seconds = time.monotonic() - began
    trial = Trial(cluster, report)
    for name, step in (*STEPS, ("Nothing lost", nothing_lost)):
        report.begin(name)
        began = time.monotonic()
        try:
            step(trial)
        except (AssertionError, demo.DemoFailed) as error:
            report.steps[-1].why = str(error)
            report.tell(f"broken off: {error}")
        report.steps[-1].seconds = time.monotonic() - began
        if not report.steps[-1].good:
            report.tell(cluster.last_words())
            break  # the next ones begin with a whole cluster
    return report


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    signal.signal(signal.SIGTERM, _stop)
    place = Path(sys.argv[1])
    # `ip netns` names namespaces there; this one is seen by nobody else
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True, timeout=60)
    try:
        report = run(place / "hosts")
    except KeyboardInterrupt:
        console.print("\nBroken off.")
        return 130
    report.summary()
    (place / "result.json").write_text(json.dumps(report.as_json(), indent=2) + "\n")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
