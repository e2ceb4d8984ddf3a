"""The service's exports of canned estimators, trained as `tests/golden` was recorded, each beside requests and what
tf.estimator predicted for them: `python -m tests.serving.canned_exports DIRECTORY`. One TensorFlow process for all."""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tf_estimator as est
from tests.estimator.export.test_export_canned import features, rows
from tests.estimator.golden_case import GoldenCase
from tests.serving.canned_cases import CASES

GOLDEN = Path(__file__).parents[1] / "golden"
ROWS = 8  # predictions that were recorded of each case


def as_lists(array: Any) -> Any:
    return np.char.decode(array.astype("S")).tolist() if array.dtype.kind in "SUO" else array.tolist()


def serialized(row: dict[str, Any]) -> str:
    """A row as tf.Example, base64."""
    made = {}
    for name, value in row.items():
        values = np.ravel(value).tolist()
        if values and isinstance(values[0], str):
            made[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[item.encode() for item in values]))
        elif values and isinstance(values[0], int):
            made[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        else:
            made[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    example = tf.train.Example(features=tf.train.Features(feature=made))
    return base64.b64encode(example.SerializeToString()).decode()


def export(name: str, root: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        case = GoldenCase(GOLDEN / name, Path(scratch))
        case.train()
        instances = rows(case, ROWS)
        for row in instances:
            row.pop(case.spec["args"].get("weight_column"), None)
        infos = features(case, instances)
        est.export.export_for_serving(case.estimator, str(root / name), features=infos, examples=instances[:2])
        predictions = {key[2:]: as_lists(value) for key, value in case.arrays.items() if key.startswith("p:")}
        content = {
            "instances": instances,
            "examples": [serialized(row) for row in instances],
            "predictions": predictions,
        }
        (root / f"{name}.json").write_text(json.dumps(content))


if __name__ == "__main__":
    for case_name in CASES:
        export(case_name, Path(sys.argv[1]))
