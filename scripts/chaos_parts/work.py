"""The jobs of a chaos run: small trainings on made-up data. One undisturbed run of a seed tells what each must give."""

from __future__ import annotations

import csv
import io
import random
from typing import Any

STEPS = 12_000
GANG_STEPS = 1_200
"""Steps of several workers are calls of their own, so a job has fewer."""
_CHECKPOINTS = 12
_COLOURS = ("red", "green", "blue", "grey")


def table_csv(rows: int = 600) -> bytes:
    """Three classes, told by four numbers and a word, with some noise."""
    draw = random.Random(11)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["a", "b", "c", "d", "colour", "kind"])
    for _ in range(rows):
        kind = draw.randrange(3)
        numbers = [round(draw.gauss(kind * scale, 1.0), 4) for scale in (1.0, -0.7, 0.3, 0.0)]
        colour = draw.choice(_COLOURS) if draw.random() < 0.5 else _COLOURS[kind]
        writer.writerow([*numbers, colour, ("low", "middle", "high")[kind]])
    return text.getvalue().encode()


def gang_body(body: dict[str, Any], workers: int) -> dict[str, Any]:
    """A job of `train_body` for several workers, or its undisturbed reference for one: without dropout, which draws for
    each replica anew, and with batches that one to four workers can divide."""
    args = body["estimator"]["args"] | {"dropout": None}
    train = body["data"]["train"] | {"batch_size": 24}
    changed = {"estimator": body["estimator"] | {"args": args}, "data": body["data"] | {"train": train}}
    return body | changed | {"resources": {"workers": workers}}


def train_body(dataset: str, seed: int, model: str, *, steps: int = STEPS, promote: bool = False) -> dict[str, Any]:
    """A training job of exactly `steps` steps. Jobs of one seed are the same training."""
    body: dict[str, Any] = {
        "type": "train",
        "model": model,
        "estimator": {
            "type": "DNNClassifier",
            "args": {"hidden_units": [16, 8], "dropout": 0.1, "optimizer": {"type": "Adam", "learning_rate": 0.003}},
        },
        "columns": "auto",
        "data": {"train": {"dataset": dataset, "label": "kind", "batch_size": 32, "shuffle": True}, "holdout": 0.15},
        "train": {"max_steps": steps, "save_checkpoints_steps": steps // _CHECKPOINTS, "seed": seed},
        "max_attempts": 100,
    }
    return body if promote else body | {"promote": None}
