"""What tf.estimator 2.15.1 really did: one test per folder under GOLDEN_DIR, see `tests/golden/README.md`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.estimator.golden_case import GoldenCase

_DIRECTORY = Path(os.environ.get("GOLDEN_DIR") or Path(__file__).parent.parent / "golden")


@pytest.mark.parametrize("folder", sorted(p for p in _DIRECTORY.iterdir() if p.is_dir()), ids=lambda p: p.name)
def test_recorded_case_is_reproduced(folder: Path, tmp_path: Path) -> None:
    case = GoldenCase(folder, tmp_path)

    losses = case.train()

    case.check_losses(losses)
    case.check_variables()
    case.check_evaluation()
    case.check_predictions()
    case.check_signatures()
