#!/usr/bin/env python3
"""What one hostile client costs the others: attacks on a service of its own, each beside a steady client.

    benchmarks/hostile.py [--json FILE] [--attacks head_without_end,job_of_empty_objects,…]

A row per attack: `others_waited_s_max`, the longest wait of a client that asks for a prediction 50 times per second
over one connection, from a process of its own; `client_late_s_max`, by how much that client itself woke too late, which
is the machine's doing; `api_grew_mib`, by how much the API process was larger at its peak than
before; `closed`, whether the service ended the attacking connections; and `status`, what it answered them. Loopback
only; starts the service in a temporary directory and trains a small model.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "hostile_parts"))
from attacks import ATTACKS
from target import Steady, Target

BEFORE_S, AFTER_S = 0.5, 0.5


def measure(target: Target, name: str) -> dict[str, object]:
    target.reset_peak()
    before = target.memory_mib()
    with Steady(target) as steady:
        time.sleep(BEFORE_S)
        outcome = ATTACKS[name](target)
        time.sleep(AFTER_S)
    return {
        "attack": name,
        "others_waited_s_max": round(steady.longest_s, 3),
        "client_late_s_max": round(steady.late_s, 3),
        "others_failed": steady.failed,
        "api_grew_mib": round(max(0.0, target.peak_mib() - before), 1),
        "closed": outcome.closed,
        "status": outcome.status,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows there")
    parser.add_argument("--attacks", default=",".join(ATTACKS), help="names, with commas")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as directory, Target(Path(directory)) as target:
        for name in options.attacks.split(","):
            row = measure(target, name)
            rows.append(row)
            print(json.dumps(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
