"""Writes the exports that every system serves, with requests and right answers:

    make_exports.py DIRECTORY [MEGABYTES,…]

`small`: nine mixed features, [64, 32], 3 classes. `large`: 50 numbers, [1024, 512, 256]. `plus1` … `plus4`: tiny ones
for swapping, whose answer tells the version. `busy`: a millisecond of processor per call. `wideN`: as small, but of N
megabytes, where they are asked for. Written with plain TensorFlow, in the layout of the engine's own exports.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

ISLANDS = ["Biscoe", "Dream", "Torgersen"]
SEXES = ["female", "male"]
SPECIES = ["Adelie", "Chinstrap", "Gentoo"]
SMALL_NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year", "lat", "lon"]
SMALL_WORDS = {"island": ISLANDS, "sex": SEXES}
LARGE_NUMBERS = [f"x{i:02d}" for i in range(50)]
BODIES = 64


class Net(tf.Module):
    """A dense classifier on numbers and one-hot words, with the outputs of a canned DNNClassifier."""

    def __init__(self, numbers: list[str], words: dict[str, list[str]], hidden: list[int], seed: int) -> None:
        super().__init__()
        self.numbers, self.words = numbers, words
        self.tables = [
            tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(tf.constant(values), tf.range(len(values), dtype=tf.int64)), -1
            )
            for values in words.values()
        ]
        width = len(numbers) + sum(len(values) for values in words.values())
        random = np.random.default_rng(seed)
        self.layers = []
        for units in [*hidden, len(SPECIES)]:
            kernel = random.normal(0, 1 / np.sqrt(width), (width, units)).astype(np.float32)
            self.layers.append((tf.Variable(kernel), tf.Variable(np.zeros(units, np.float32))))
            width = units

    def __call__(self, **given: tf.Tensor) -> dict[str, tf.Tensor]:
        parts = [given[name][:, None] for name in self.numbers]
        for table, (name, values) in zip(self.tables, self.words.items(), strict=True):
            parts.append(tf.one_hot(table.lookup(given[name]), len(values)))
        net = tf.concat(parts, 1)
        for kernel, bias in self.layers[:-1]:
            net = tf.nn.relu(net @ kernel + bias)
        logits = net @ self.layers[-1][0] + self.layers[-1][1]
        best = tf.argmax(logits, 1)[:, None]
        count = tf.shape(logits)[0]
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "class_ids": best,
            "classes": tf.gather(tf.constant(SPECIES), best),
            "all_class_ids": tf.tile([[0, 1, 2]], [count, 1]),
            "all_classes": tf.tile([SPECIES], [count, 1]),
        }


def describe(features: list[dict[str, Any]], outputs: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    told = [{"name": name, "dtype": t.dtype.name, "shape": t.shape.as_list()} for name, t in sorted(outputs.items())]
    signature = {"method": "predict", "input": "features", "outputs": told}
    return {
        "format": 1,
        "estimator": "DNNClassifier",
        "engine": "benchmark",
        "tensorflow": tf.__version__,
        "global_step": 1,
        "features": features,
        "signatures": {"serving_default": signature, "predict": signature},
        "label_vocabulary": SPECIES,
        "packed": None,
        "examples": [example],
    }


def save(module: tf.Module, function: Any, features: list[dict[str, Any]], example: dict[str, Any], to: Path) -> Any:
    types = {"float32": tf.float32, "string": tf.string}
    specs = {f["name"]: tf.TensorSpec([None], types[f["dtype"]], name=f["name"]) for f in features}
    concrete = tf.function(function, autograph=False).get_concrete_function(**specs)
    tf.saved_model.save(module, str(to), signatures={"serving_default": concrete, "predict": concrete})
    (to / "assets.extra").mkdir()
    content = describe(features, concrete.structured_outputs, example)
    (to / "assets.extra" / "serving.json").write_text(json.dumps(content))
    return concrete


def feature(name: str, dtype: str) -> dict[str, Any]:
    missing = {"policy": "mean", "value": 0.0} if dtype == "float32" else {"policy": "category", "value": ""}
    return {"name": name, "dtype": dtype, "shape": [], "sequence": False, "missing": missing}


def network(root: Path, name: str, numbers: list[str], words: dict[str, list[str]], hidden: list[int]) -> None:
    """One classifier, with its requests (1 and 32 rows) and answers."""
    random = np.random.default_rng(1)
    features = [feature(n, "float32") for n in numbers] + [feature(n, "string") for n in words]

    def row() -> dict[str, Any]:
        values: dict[str, Any] = {n: round(float(random.normal()), 3) for n in numbers}
        return values | {n: str(random.choice(choices)) for n, choices in words.items()}

    net = Net(numbers, words, hidden, seed=7)
    concrete = save(net, net, features, row(), root / name)
    for rows in (1, 32):
        cases = []
        for _ in range(BODIES if rows == 1 else BODIES // 4):
            instances = [row() for _ in range(rows)]
            answer = concrete(**{f["name"]: tf.constant([i[f["name"]] for i in instances]) for f in features})
            expected = [
                {
                    "class": answer["classes"].numpy()[i][0].decode(),
                    "probabilities": answer["probabilities"].numpy()[i].tolist(),
                }
                for i in range(rows)
            ]
            cases.append({"body": json.dumps({"instances": instances}), "expected": expected})
        (root / f"{name}-{rows}.json").write_text(json.dumps(cases))


def plus(root: Path, number: int) -> None:
    """y = x + number."""
    module = tf.Module()
    module.offset = tf.Variable(float(number))
    save(module, lambda x: {"y": x + module.offset}, [feature("x", "float32")], {"x": 1.0}, root / f"plus{number}")


def busy(root: Path) -> None:
    """y = x + 1, after a sort in one thread that takes about a millisecond of processor, whatever the batch."""
    module = tf.Module()
    module.numbers = tf.Variable(np.random.default_rng(2).normal(size=11_000).astype(np.float32))

    def answer(x: tf.Tensor) -> dict[str, tf.Tensor]:
        first = tf.nn.top_k(module.numbers + x[0], k=11_000).values[0]
        return {"y": x + 1.0 + tf.where(tf.math.is_nan(first), first, 0.0)}

    save(module, answer, [feature("x", "float32")], {"x": 1.0}, root / "busy")


def main(root: Path, *megabytes: str) -> None:
    network(root, "small", SMALL_NUMBERS, SMALL_WORDS, [64, 32])
    network(root, "large", LARGE_NUMBERS, {}, [1024, 512, 256])
    for number in (1, 2, 3, 4):
        plus(root, number)
    busy(root)
    for size in filter(None, ",".join(megabytes).split(",")):
        width = round((float(size) * 2**20 / 4) ** 0.5)  # float32, one square layer
        network(root, f"wide{size}", SMALL_NUMBERS, SMALL_WORDS, [width, width])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
