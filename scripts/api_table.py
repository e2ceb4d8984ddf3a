#!/usr/bin/env python3
"""Checks docs/engine-api.md: every argument, member and documented error of the engine's API has a row, and every
test that a row names is there. Prints what is wrong; the exit code says whether anything is."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TABLE = Path("docs") / "engine-api.md"
_ROW = re.compile(r"^\| `([^`]+)` \| (.+) \|$")

#: The errors that the five documents name.
ERRORS = (
    "Estimator raises ValueError: model_fn and params",
    "Estimator raises ValueError: overridden member",
    "Estimator.evaluate raises ValueError: steps",
    "Estimator.export raises ValueError: no receiver function",
    "Estimator.export raises ValueError: no export outputs",
    "Estimator.export raises ValueError: no checkpoint",
    "Estimator.get_variable_names raises ValueError: no checkpoint",
    "Estimator.get_variable_value raises ValueError: no checkpoint",
    "Estimator.predict raises ValueError: batch length",
    "Estimator.predict raises ValueError: predict_keys",
    "Estimator.train raises ValueError: steps and max_steps",
    "Estimator.train raises ValueError: steps or max_steps",
    "DNNClassifier raises KeyError: missing feature",
    "DNNClassifier raises ValueError: string labels without label_vocabulary",
    "RNNClassifier raises ValueError: units, cell_type and rnn_cell_fn",
    "polyaxon.Estimator raises ValueError: model_fn and params",
    "polyaxon.Estimator.export_savedmodel raises ValueError: no receiver function",
    "polyaxon.Estimator.predict raises ValueError: no trained model",
    "polyaxon.Estimator.predict raises ValueError: batch length",
    "polyaxon.Estimator.predict raises ValueError: predict_keys",
)


def required() -> set[str]:
    """Names of the rows that there must be, from the signatures themselves."""
    import tf_estimator as est

    return set(ERRORS) | {
        name
        for title, kind, base in (
            ("Estimator", est.Estimator, object),
            ("DNNClassifier", est.DNNClassifier, est.Estimator),
            ("RNNClassifier", est.experimental.RNNClassifier, est.Estimator),
            ("Head", est.Head, object),
            ("polyaxon.Estimator", est.polyaxon.Estimator, object),
        )
        for name in _names(title, kind, base)
    }


def _names(title: str, kind: Any, base: Any) -> Iterator[str]:
    for parameter in inspect.signature(kind).parameters:
        yield f"{title}({parameter})"
    for member in sorted(name for name in dir(kind) if not name.startswith("_")):
        found = inspect.getattr_static(kind, member)
        if found is inspect.getattr_static(base, member, None):
            continue  # inherited: it has its row there
        yield f"{title}.{member}"
        if callable(found):
            for parameter in list(inspect.signature(found).parameters)[1:]:
                yield f"{title}.{member}({parameter})"


def rows(root: Path) -> dict[str, list[str]]:
    """Row name to the tests it names, `path::function`."""
    matches = (_ROW.match(line) for line in (root / TABLE).read_text().splitlines())
    return {match[1]: re.findall(r"`([^`]+)`", match[2]) for match in matches if match}


def problems(root: Path = ROOT) -> list[str]:
    """What is wrong with the table below `root`."""
    wanted, found = required(), rows(root)
    wrong = [f"missing: {name}" for name in sorted(wanted - set(found))]
    wrong += [f"unknown: {name}" for name in sorted(set(found) - wanted)]
    wrong += [f"no test: {name}" for name, tests in sorted(found.items()) if not tests]
    tests = sorted({test for named in found.values() for test in named})
    known: dict[str, set[str]] = {}
    for test in tests:
        path, _, function = test.partition("::")
        if path not in known:
            known[path] = _functions(root / path)
        if function not in known[path]:
            wrong.append(f"no such test: {test}")
    return wrong


def _functions(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    found_problems = problems()
    print("\n".join(found_problems) or f"{TABLE}: complete")
    sys.exit(bool(found_problems))
