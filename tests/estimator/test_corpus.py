"""The corpus: small programs written for `tf.estimator`, each beside what TensorFlow 2.15.1 gave for it.

Values, metrics, names of variables and kinds of errors are compared, floats to 1e-4 of their size. Where the engine is
to give something else, `differences.json` says what and why, and `docs/moving-from-tf-estimator.md` tells the reason.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tf_estimator as est
from tests.estimator.corpus.programs import PROGRAMS, outcome
from tests.estimator.corpus.programs.registry import mismatch

CORPUS = Path(__file__).parent / "corpus"
RECORDED: dict[str, Any] = json.loads((CORPUS / "recorded.json").read_text())
DIFFERENCES: dict[str, Any] = json.loads((CORPUS / "differences.json").read_text())


# The programs are old: what they call is deprecated, which is no concern of theirs.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_program_gives_what_tensorflow_2_15_gave(name: str) -> None:
    wanted = DIFFERENCES[name]["ours"] if name in DIFFERENCES else RECORDED[name]
    assert mismatch(outcome(name, est), wanted) == ""


def test_each_program_is_recorded_and_each_difference_differs() -> None:
    assert sorted(RECORDED) == sorted(PROGRAMS)
    assert len(PROGRAMS) >= 200
    for name, entry in DIFFERENCES.items():
        assert mismatch(entry["ours"], RECORDED[name]), f"{name} is no difference"


def test_the_document_tells_the_reason_of_each_difference() -> None:
    document = (Path(__file__).parents[2] / "docs" / "moving-from-tf-estimator.md").read_text()
    told = " ".join(document.split())
    missing = sorted({entry["reason"] for entry in DIFFERENCES.values() if entry["reason"] not in told})
    assert not missing
