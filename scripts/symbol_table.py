#!/usr/bin/env python3
"""Writes the table of tf.estimator's public names into docs/engine-api.md, from the recorded list of names."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SYMBOLS = ROOT / "tests" / "estimator" / "compat" / "symbols.json"
DOCUMENT = ROOT / "docs" / "engine-api.md"
_HEADING = "## Every name of tf.estimator 2.15\n"
_INTRODUCTION = """
`tests/estimator/compat/symbols.json` holds the names, recorded from TensorFlow 2.15.1; `scripts/symbol_table.py` writes
this table. v1 is `tf.compat.v1.estimator`, here also `est.v1`; v2 is `tf.estimator`, here also `est`. A name that is
here takes the old parameters in their old places. Asking for one that is not raises the sentence of its row.

| API | name | state |
|---|---|---|
"""
#: Canned estimators of v1 are classes of their own.
_OWN = ("Baseline", "DNN", "Linear")


def table() -> str:
    """The section, from its heading on."""
    sys.path.insert(0, str(ROOT))
    from tf_estimator.compat.missing import sentence

    recorded = json.loads(SYMBOLS.read_text())
    rows = []
    for name in sorted({*recorded["v1"], *recorded["v2"]}):
        apis = " ".join(api for api in ("v1", "v2") if name in recorded[api])
        said = sentence(name, name)
        own = name.startswith(_OWN) and apis == "v1 v2"
        state = said or ("here, in v1 with v1's defaults, optimizers and checkpoint names" if own else "here")
        rows.append(f"| {apis} | `{name}` | {state} |\n")
    return _HEADING + _INTRODUCTION + "".join(rows)


if __name__ == "__main__":
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(text.partition(_HEADING)[0].rstrip() + "\n\n" + table())
