"""Where `scripts/onnx` has put tf2onnx and ONNX Runtime."""

from __future__ import annotations

import sysconfig
from pathlib import Path

_ROOT = Path(__file__).parents[2]
MISSING = not (_ROOT / ".onnx/made").exists()
SITE = _ROOT / ".onnx" / Path(sysconfig.get_path("purelib", vars={"base": "."}))
