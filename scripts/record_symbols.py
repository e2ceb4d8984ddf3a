#!/usr/bin/env python3
"""Records the public names of `tf.estimator` with their parameters, as data for tests/estimator/compat/test_symbols.py.

Runs in an environment with TensorFlow 2.15.1 (scripts/bench makes one below benchmarks/.peers):

    benchmarks/.peers/tf215/bin/python scripts/record_symbols.py > tests/estimator/compat/symbols.json
"""

from __future__ import annotations

import inspect
import json
import os
import types
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf


def symbols(namespace: Any, prefix: str = "") -> dict[str, list[str] | None]:
    """Dotted names below `namespace`: the parameters of functions and classes, None for modules and constants."""
    found: dict[str, list[str] | None] = {}
    for name in sorted(dir(namespace)):
        if name.startswith("_"):
            continue
        value = getattr(namespace, name)
        found[prefix + name] = parameters(value) if callable(value) else None
        if isinstance(value, types.ModuleType):
            found.update(symbols(value, f"{prefix}{name}."))
    return found


def parameters(value: Any) -> list[str] | None:
    names = list(inspect.signature(value).parameters)
    return None if names == ["args", "kwargs"] else names


if __name__ == "__main__":
    recorded = {"v1": symbols(tf.compat.v1.estimator), "v2": symbols(tf.estimator)}
    for api, names in recorded.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(made)}" for name, made in names.items()]
        print("{" if api == "v1" else " },")
        print(f' "{api}": {{', ",\n".join(lines), sep="\n")
    print(" }\n}")
