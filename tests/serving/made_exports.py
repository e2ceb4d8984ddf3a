"""Small exports for the serving tests, written with plain TensorFlow: `python -m tests.serving.made_exports DIRECTORY`.

Their answers can be worked out by hand. Each has the packer of the engine's own exports.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

_TYPES = {"float32": tf.float32, "int64": tf.int64, "string": tf.string}


def _feature(name: str, dtype: str = "float32", **more: Any) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": [], "sequence": False, "missing": None, **more}


def _spec(features: list[dict[str, Any]]) -> dict[str, tf.TensorSpec]:
    specs = {}
    for item in features:
        time = [None] if item["sequence"] else []
        specs[item["name"]] = tf.TensorSpec([None, *time, *item["shape"]], _TYPES[item["dtype"]], name=item["name"])
        if item["sequence"]:
            length = item["length_input"]
            specs[length] = tf.TensorSpec([None], tf.int64, name=length)
    return specs


def write(
    directory: Path,
    features: list[dict[str, Any]],
    functions: dict[str, tuple[str, Any]],
    examples: list[dict[str, Any]],
    *,
    examples_input: tuple[str, ...] = (),
    kept: Any = None,
) -> None:
    """Writes a SavedModel and its description. `functions`: signature name to (method, function of named tensors)."""
    module = tf.Module()
    module.kept = kept
    signatures, described = {}, {}
    made: dict[int, Any] = {}
    for name, (method, function) in functions.items():
        raw = name not in examples_input
        specs = _spec(features) if raw else {"examples": tf.TensorSpec([None], tf.string, name="examples")}
        if id(function) not in made:
            made[id(function)] = tf.function(function, autograph=False).get_concrete_function(**specs)
        signatures[name] = made[id(function)]
        outputs = signatures[name].structured_outputs
        described[name] = {
            "method": method,
            "input": "features" if raw else "examples",
            "outputs": [
                {"name": key, "dtype": value.dtype.name, "shape": value.shape.as_list()}
                for key, value in outputs.items()
            ],
        }
    tf.saved_model.save(module, str(directory), signatures=signatures)
    (directory / "assets.extra").mkdir()
    (directory / "assets.extra" / "serving.json").write_text(
        json.dumps(
            {
                "format": 1,
                "estimator": "Test",
                "engine": "0",
                "tensorflow": tf.__version__,
                "global_step": 1,
                "features": features,
                "signatures": described,
                "label_vocabulary": None,
                "packed": None,
                "examples": examples,
            }
        )
    )


def linear(directory: Path, plus: float) -> None:
    """One feature, one output: y = x / 2 + plus. The half-plus-N of TensorFlow Serving's documentation."""

    def predict(x: tf.PackedInput) -> dict[str, tf.PackedInput]:
        return {"y": x / 2.0 + plus}

    def regress(x: tf.PackedInput) -> dict[str, tf.PackedInput]:
        return {"outputs": (x / 2.0 + plus)[:, None]}

    functions = {
        "serving_default": ("predict", predict),
        "predict": ("predict", predict),
        "regression": ("regress", regress),
    }
    write(directory, [_feature("x")], functions, [{"x": 1.0}])


def large(directory: Path) -> None:
    """y = x / 2 + 2, with 64 MiB of variable."""
    ones = tf.Variable(tf.ones([2**24]))

    def predict(x: tf.PackedInput) -> dict[str, tf.PackedInput]:
        return {"y": x / 2.0 + 1.0 + ones[0]}

    write(directory, [_feature("x")], {"serving_default": ("predict", predict)}, [{"x": 1.0}], kept=ones)


def mixed(directory: Path) -> None:
    """All kinds of features. total = a + 10 n + 100 (sum of v) + 1000 (length of s) + 10000 (sum of q)."""
    features = [
        _feature("a", missing={"policy": "mean", "value": 0.25}),
        _feature("n", "int64"),
        _feature("v", shape=[2]),
        _feature("s", "string", missing={"policy": "category", "value": ""}, vocabulary=["x", "yy"]),
        _feature("q", sequence=True, length_input="q_length", missing={"policy": "empty", "value": []}),
        _feature("w", "string", sequence=True, length_input="w_length", missing={"policy": "empty", "value": []}),
    ]

    def predict(**given: tf.PackedInput) -> dict[str, tf.PackedInput]:
        mask = tf.sequence_mask(given["q_length"], tf.shape(given["q"])[1], tf.float32)
        total = (
            given["a"]
            + 10.0 * tf.cast(given["n"], tf.float32)
            + 100.0 * tf.reduce_sum(given["v"], 1)
            + 1000.0 * tf.cast(tf.strings.length(given["s"]), tf.float32)
            + 10000.0 * tf.reduce_sum(given["q"] * mask, 1)
        )
        return {
            "total": total,
            "words": given["w_length"],
            "text": tf.strings.join([given["s"], tf.strings.as_string(given["n"])], "-"),
            "raw_bytes": given["s"],
        }

    def classify(**given: tf.PackedInput) -> dict[str, tf.PackedInput]:
        p = tf.stack([given["a"], 1.0 - given["a"]], 1)
        return {"scores": p, "classes": tf.tile([["no", "yes"]], [tf.shape(p)[0], 1])}

    def examples(examples: tf.PackedInput) -> dict[str, tf.PackedInput]:
        parsed = tf.io.parse_example(examples, {"a": tf.io.FixedLenFeature([], tf.float32)})
        return {"total": parsed["a"]}

    functions = {
        "serving_default": ("predict", predict),
        "predict": ("predict", predict),
        "classification": ("classify", classify),
        "examples": ("predict", examples),
    }
    row = {"a": 0.5, "n": 1, "v": [1.0, 2.0], "s": "x", "q": [1.0], "w": ["b"]}
    write(directory, features, functions, [row], examples_input=("examples",))


def worded(directory: Path) -> None:
    """score = number of the word, from 1, 0 for others, + x; class = "high" above 1.5. For what can be converted."""
    words = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([0, 1], tf.int64)), -1
    )
    features = [_feature("x", min=-1.0, max=1.0), _feature("w", "string", vocabulary=["a", "b"])]

    def predict(x: tf.PackedInput, w: tf.PackedInput) -> dict[str, tf.PackedInput]:
        score = tf.linalg.matvec(tf.one_hot(words.lookup(w), 2), [1.0, 2.0]) + x
        return {"score": score, "class": tf.gather(["low", "high"], tf.cast(score > 1.5, tf.int64))}

    def examples(examples: tf.PackedInput) -> dict[str, tf.PackedInput]:
        parsed = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32)})
        return {"score": parsed["x"]}

    functions = {
        "serving_default": ("predict", predict),
        "predict": ("predict", predict),
        "examples": ("predict", examples),
    }
    rows = [{"x": 0.5, "w": "a"}, {"x": 0.25, "w": "b"}]
    write(directory, features, functions, rows, examples_input=("examples",), kept=words)


def picky(directory: Path) -> None:
    """Looks x up in a table of five: fails outside 0 … 4. With x = -1 it runs for a long while, to be killed."""

    def predict(x: tf.PackedInput) -> dict[str, tf.PackedInput]:
        def forever() -> tf.PackedInput:
            return tf.while_loop(lambda i: i >= 0, lambda i: tf.math.floormod(i + 1, 1000), [tf.constant(0)])[0]

        turns = tf.cond(tf.reduce_any(x < 0), forever, lambda: tf.constant(0))
        with tf.control_dependencies([turns]):
            x = tf.identity(x)
        with tf.control_dependencies([tf.debugging.assert_less(x, tf.constant(5, tf.int64))]):
            return {"y": tf.gather(tf.constant([10.0, 11.0, 12.0, 13.0, 14.0]), tf.maximum(x, 0))}

    write(directory, [_feature("x", "int64")], {"serving_default": ("predict", predict)}, [{"x": 1}])


def failing(directory: Path) -> None:
    """y = x / 2 + 2, but fails for x of 5 and more."""

    def predict(x: tf.PackedInput) -> dict[str, tf.PackedInput]:
        with tf.control_dependencies([tf.debugging.assert_less(x, 5.0)]):
            return {"y": x / 2.0 + 2.0}

    write(directory, [_feature("x")], {"serving_default": ("predict", predict)}, [{"x": 1.0}])


def slow(directory: Path) -> None:
    """y = x / 2 + 2, after some ten milliseconds."""

    def predict(x: tf.PackedInput) -> dict[str, tf.PackedInput]:
        turns = tf.while_loop(lambda i: i < 10_000, lambda i: i + 1, [tf.constant(0)])[0]
        with tf.control_dependencies([turns]):
            return {"y": x / 2.0 + 2.0}

    write(directory, [_feature("x")], {"serving_default": ("predict", predict)}, [{"x": 1.0}])


def reader(directory: Path) -> None:
    """Reads a file: must not be loaded."""

    def predict(x: tf.PackedInput) -> dict[str, tf.PackedInput]:
        return {"y": tf.io.read_file("/etc/hostname") + tf.strings.as_string(x)}

    write(directory, [_feature("x")], {"serving_default": ("predict", predict)}, [{"x": 1.0}])


def unable(directory: Path) -> None:
    """Loads, but cannot run its own example."""

    def predict(x: tf.PackedInput) -> dict[str, tf.PackedInput]:
        with tf.control_dependencies([tf.debugging.assert_less(x, 0.0)]):
            return {"y": tf.identity(x)}

    write(directory, [_feature("x")], {"serving_default": ("predict", predict)}, [{"x": 1.0}])


def main(root: Path) -> None:
    linear(root / "plus2", 2.0)
    linear(root / "plus3", 3.0)
    large(root / "large")
    mixed(root / "mixed")
    picky(root / "picky")
    worded(root / "worded")
    failing(root / "failing")
    slow(root / "slow")
    reader(root / "reader")
    unable(root / "unable")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
