"""Registering programs, running one, and what its outcome is as JSON."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1

#: Name ("theme/name") to program: a function of the namespace of `tf.estimator` and an empty directory.
PROGRAMS: dict[str, Callable[[Any, str], Any]] = {}

_OWN_KINDS = ("NanLossDuringTrainingError",)


def program(theme: str, name: str | None = None) -> Callable[[Callable[[Any, str], Any]], Callable[[Any, str], Any]]:
    """Registers a function `(est, directory)` under `theme/name`; its own name if None."""

    def register(function: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
        add(theme, name or function.__name__, function)
        return function

    return register


def add(theme: str, name: str, function: Callable[[Any, str], Any]) -> None:
    key = f"{theme}/{name}"
    if key in PROGRAMS:
        raise ValueError(f"There are two programs {key}.")
    PROGRAMS[key] = function


def outcome(name: str, est: Any) -> dict[str, Any]:
    """Runs a program: `{"value": …}`, or `{"error": [names of its classes]}`."""
    # What a distributed run is told has to be absent.
    os.environ.pop("TF_CONFIG", None)
    with tempfile.TemporaryDirectory() as directory:
        try:
            return {"value": plain(PROGRAMS[name](est, os.path.join(directory, "model")))}
        except Exception as error:
            return {"error": kinds(error)}


def kinds(error: BaseException) -> list[str]:
    """Names of the classes of an error that Python, TensorFlow or `tf.estimator` document, the narrowest first."""
    found = []
    for kind in type(error).__mro__:
        if kind.__module__ == "builtins" or kind.__name__ in _OWN_KINDS or kind.__module__.endswith("errors_impl"):
            found.append(kind.__name__)
    return [name for name in found if name not in ("object", "BaseException")]


def plain(value: Any) -> Any:
    """A nest of Python values: arrays as lists, bytes as text, floats of seven digits."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, float):
        return str(value) if not math.isfinite(value) else float(f"{value:.7g}")
    if value is None or isinstance(value, str | int | bool):
        return value
    return type(value).__name__


def mismatch(ours: dict[str, Any], wanted: dict[str, Any]) -> str:
    """How an outcome differs from the wanted one, '' for not at all. An error has to be of the wanted kind."""
    if "error" in wanted and "error" in ours:
        kind = wanted["error"][0]
        return "" if kind in ours["error"] else f"{ours['error']}, wanted {kind}"
    if "value" in wanted and "value" in ours:
        return difference(ours["value"], wanted["value"])
    return f"{ours}, wanted {wanted}"


def difference(ours: Any, wanted: Any, where: str = "") -> str:
    """What differs between two plain values, '' for nothing. Floats may differ by 1e-4 of their size, or 1e-5."""
    if isinstance(wanted, dict) and isinstance(ours, dict):
        if set(ours) != set(wanted):
            return f"{where}: keys {sorted(ours)}, wanted {sorted(wanted)}"
        found = (difference(ours[key], wanted[key], f"{where}/{key}") for key in wanted)
        return next((text for text in found if text), "")
    if isinstance(wanted, list) and isinstance(ours, list):
        if len(ours) != len(wanted):
            return f"{where}: {ours}, wanted {wanted}"
        found = (difference(a, b, f"{where}/{i}") for i, (a, b) in enumerate(zip(ours, wanted, strict=True)))
        return next((text for text in found if text), "")
    if isinstance(wanted, float) and isinstance(ours, float | int) and not isinstance(ours, bool):
        return "" if math.isclose(ours, wanted, rel_tol=1e-4, abs_tol=1e-5) else f"{where}: {ours}, wanted {wanted}"
    return "" if ours == wanted else f"{where}: {ours!r}, wanted {wanted!r}"
