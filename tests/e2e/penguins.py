"""The penguins, as the demo splits them, and the job that learns them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

_PATH = Path(__file__).resolve().parents[2] / "scripts" / "demo.py"
_SPEC = importlib.util.spec_from_file_location("demo", _PATH)
assert _SPEC and _SPEC.loader
demo = importlib.util.module_from_spec(_SPEC)
sys.modules["demo"] = demo
_SPEC.loader.exec_module(demo)

KNOWN, KEPT_BACK = demo.penguins()
KNOWN_CSV = demo.as_csv(KNOWN)
INSTANCES = [demo.as_instance(row) for row in KEPT_BACK]
TRUTH = [row["species"] for row in KEPT_BACK]


def train_job(dataset: str, model: str = "penguins", max_steps: int = 1500, **changes: Any) -> dict[str, Any]:
    return {
        "type": "train",
        "model": model,
        "estimator": {
            "type": "DNNClassifier",
            "args": {"hidden_units": [16], "optimizer": {"type": "Adagrad", "learning_rate": 0.1}},
        },
        "columns": "auto",
        "data": {"train": {"dataset": dataset, "label": "species", "batch_size": 32, "shuffle": True}, "holdout": 0.15},
        "train": {"max_steps": max_steps, "save_checkpoints_steps": 500, "seed": 1},
        **changes,
    }


def share_right(predictions: list[dict[str, Any]]) -> float:
    right = [answer["classes"][0] == truth for answer, truth in zip(predictions, TRUTH, strict=True)]
    return sum(right) / len(right)
