"""Rows on which ONNX Runtime has to agree with TensorFlow before it answers: a version's own, and rows made from what
is known of its features. Imported by the process that converts."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInput
from app.serving.decode import Decoder
from app.serving.export_description import ExportDescription, InputFeature
from app.serving.predictor.warm_up_file import run_warm_up_file
from app.serving.protocol import Column

TOLERANCE = 1e-5
"""By how much a floating-point number may differ from TensorFlow's, measured by the largest one that the row has in
that output, or that a usual row has (the median): sums that nearly cancel out are as exact as what they are made of.
Everything else is the same."""
_SIZES = (1, 2, 16, 128, 1000)
_ODD: dict[str, tuple[Any, ...]] = {
    "float32": (0.0, -1.0, 0.5, 1e-30, -1e4, 1e6),
    "int64": (0, -1, -2, 1, 7, 1000, -(2**31) - 1, 2**40),
    "string": ("", " ", "no such word", "ä", "0"),
}
"""Values beside what training saw: one of them in a row, and such rows one by one."""
_MOST_ODD = 200
_ODD_ROW = "a row with an unusual value"
Loaded = Any


@dataclass(frozen=True)
class Trial:
    """What a signature is given, and TensorFlow's answer; None: it refused."""

    signature: str
    values: list[Any]
    rows: int
    expected: list[NDArray[Any]] | None
    what: str


def trials(model: Loaded, directory: Path) -> list[Trial]:
    """Of all signatures that take features. TensorFlow computes them all before anything is converted.

    Args:
        model: a `Loaded`.
        directory: its export.
    """
    export = model.export
    names = [name for name in model.runners if export.signatures[name].input == "features"]
    decoder = Decoder(export, max_rows=max(_SIZES))
    found = []
    for name in names:
        for what, instances in _batches(export):
            try:
                rows = decoder.rows(name, instances)
            except InvalidInput:
                continue  # a request with such a row is refused before it comes here
            found.append(_trial(model, name, decoder.packers[name].pack(rows), len(rows), what))

    def recorded(signature: str, columns: Sequence[Column], counts: Sequence[int], forms: Sequence[int]) -> Any:
        for name in names:
            if model.runners[name] is model.runner(signature):
                found.append(_trial(model, name, list(columns), sum(counts), "a warm-up record"))
        return model.run(signature, columns, counts, forms)

    run_warm_up_file(directory, export, recorded)
    return found


def usual_sizes(tried: Sequence[Trial], outputs: int) -> list[float]:
    """Of each output of a signature, the median of the rows' largest numbers; 0 for one that has none.

    Args:
        tried: its trials.
    """
    sizes = []
    for number in range(outputs):
        arrays = [one.expected[number] for one in tried if one.expected is not None and one.what != _ODD_ROW]
        rows = [_largest(array).ravel() for array in arrays if array.dtype.kind == "f" and array.size]
        sizes.append(float(np.median(np.concatenate(rows))) if rows else 0.0)
    return sizes


def difference(
    trial: Trial,
    compute: Callable[[Sequence[Any]], list[NDArray[Any]]],
    names: Sequence[str],
    sizes: Sequence[float],
) -> str | None:
    """How an answer differs from TensorFlow's, for a person; None: it does not.

    Args:
        compute: raises where it refuses.
        names: of the outputs.
        sizes: `usual_sizes` of the signature.
    """
    try:
        got = compute(trial.values)
    except Exception as error:  # ONNX Runtime's exceptions have no class in common
        if trial.expected is None:
            return None
        return f"ONNX Runtime refuses {trial.what} that TensorFlow answers ({type(error.__cause__ or error).__name__})."
    if trial.expected is None:
        return f"ONNX Runtime answers {trial.what} that TensorFlow refuses."
    for name, expected, array, size in zip(names, trial.expected, got, sizes, strict=True):
        if expected.dtype != array.dtype or expected.shape != array.shape:
            return f"The output {name!r} has another type or shape for {trial.what}."
        if (by := _differs(expected, array, size)) is not None:
            return f"The output {name!r} differs from TensorFlow's for {trial.what}{by}."
    return None


def _differs(expected: NDArray[Any], got: NDArray[Any], size: float) -> str | None:
    if expected.dtype.kind != "f":
        return None if expected.tolist() == got.tolist() else ""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(got.astype(np.float64) - expected)
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        wrong = ~same & ~(apart <= TOLERANCE * np.maximum(_largest(expected), size))
        return f", by {np.nanmax(np.where(wrong, apart, 0.0)):.2g}" if wrong.any() else None


def _largest(array: NDArray[Any]) -> NDArray[Any]:
    """Of each row the largest finite number, without its sign; of the array's rank."""
    sizes = np.abs(np.where(np.isfinite(array), array, 0.0).astype(np.float64))
    return sizes.max(axis=tuple(range(1, sizes.ndim)), keepdims=True) if sizes.size else sizes


def _trial(model: Loaded, name: str, columns: list[Column], rows: int, what: str) -> Trial:
    import tensorflow as tf

    runner = model.runners[name]
    values = runner.unpack(columns, rows)
    try:
        expected = runner.call(values)
    except (tf.errors.OpError, ValueError, TypeError):
        expected = None
    return Trial(name, values, rows, expected, what)


def _batches(export: ExportDescription) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Words for them, and instances of a request."""
    chance = random.Random(7)
    examples = [dict(row) for row in export.examples]
    for size in _SIZES if examples else ():
        yield "its own examples", (examples * size)[:size]
    for size in _SIZES:
        yield "made rows", [_row(export, examples, chance) for _ in range(size)]
    odd = [
        {**_row(export, examples, chance), feature.name: _of_shape(feature, partial(_same, value), chance)}
        for feature in export.features
        for value in _ODD[feature.dtype]
    ]
    for row in chance.sample(odd, min(_MOST_ODD, len(odd))):
        yield _ODD_ROW, [row]


def _row(export: ExportDescription, examples: list[dict[str, Any]], chance: random.Random) -> dict[str, Any]:
    row = {}
    for feature in export.features:
        if feature.missing is not None and chance.random() < 0.05:
            continue
        known = chance.choice(examples).get(feature.name) if examples else None
        row[feature.name] = _of_shape(feature, partial(_usual, feature, known, chance), chance)
    return row


def _of_shape(feature: InputFeature, make: Callable[[], Any], chance: random.Random) -> Any:
    shape = (chance.randint(0, 6), *feature.shape) if feature.sequence else feature.shape

    def nested(sizes: Sequence[int]) -> Any:
        return [nested(sizes[1:]) for _ in range(sizes[0])] if sizes else make()

    return nested(shape)


def _same(value: Any) -> Any:
    return value


def _usual(feature: InputFeature, known: Any, chance: random.Random) -> Any:
    """A value as training may have seen it."""
    while isinstance(known, list):
        known = known[0] if known else None
    if feature.vocabulary and chance.random() < 0.9:
        return chance.choice(feature.vocabulary)
    if feature.dtype == "string":
        return known if isinstance(known, str) else chance.choice(_ODD["string"])
    low, high = feature.min, feature.max
    if low is None or high is None or not math.isfinite(high - low):
        middle = float(known) if isinstance(known, int | float) else 0.0
        low, high = (middle, middle + 1) if feature.dtype == "int64" else (middle - 1, middle + 1)
    return chance.randint(int(low), int(high)) if feature.dtype == "int64" else chance.uniform(low, high)
