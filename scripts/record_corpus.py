"""Runs the programs of tests/estimator/corpus on TensorFlow 2.15.1 and writes `recorded.json` beside them.

Names on the command line (or beginnings of names) are recorded anew; without them, those that have no record yet.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

from tests.estimator.corpus.programs import PROGRAMS, outcome

RECORDED = Path(__file__).parent.parent / "tests" / "estimator" / "corpus" / "recorded.json"


def main(wanted: list[str]) -> None:
    if not tf.__version__.startswith("2.15."):
        raise SystemExit(f"This is TensorFlow {tf.__version__}; the records are those of 2.15.1.")
    logging.disable(logging.CRITICAL)
    tf.compat.v1.logging.set_verbosity("FATAL")
    records = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    for name in PROGRAMS:
        if any(name.startswith(beginning) for beginning in wanted) or (not wanted and name not in records):
            records[name] = outcome(name, tf.estimator)
            write(records)
    print(f"{len(records)} programs, {sum('error' in record for record in records.values())} of them end in an error")


def write(records: dict[str, Any]) -> None:
    """Writes a line per program, in order; those that are gone are left out."""
    known = {name: records[name] for name in sorted(records) if name in PROGRAMS}
    RECORDED.write_text("{\n" + ",\n".join(f"{json.dumps(n)}: {json.dumps(r)}" for n, r in known.items()) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
