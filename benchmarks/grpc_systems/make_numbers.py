"""Writes the export that is asked in every protocol, its rows and their right answers: `make_numbers.py DIRECTORY`.

Seven numbers, [64, 32], 3 classes; two outputs, probabilities and class_ids.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "serving_systems"))
from make_exports import SMALL_NUMBERS, Net, feature, save

ROWS = 1000


def main(root: Path) -> None:
    net = Net(SMALL_NUMBERS, {}, [64, 32], seed=7)
    features = [feature(name, "float32") for name in SMALL_NUMBERS]

    def predict(**given: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = net(**given)
        return {"probabilities": answer["probabilities"], "class_ids": answer["class_ids"]}

    concrete = save(net, predict, features, dict.fromkeys(SMALL_NUMBERS, 1.0), root / "numbers")
    random = np.random.default_rng(1)
    rows = {name: random.normal(size=ROWS).astype(np.float32) for name in SMALL_NUMBERS}
    answer = concrete(**{name: tf.constant(values) for name, values in rows.items()})
    np.savez(root / "numbers.npz", expected=answer["probabilities"].numpy(), **rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
