"""Every public name of tf.estimator 2.15 (recorded in symbols.json) is here or says what to use instead."""

from __future__ import annotations

import importlib.util
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

import tf_estimator as est
from tf_estimator.compat.missing import MISSING

ROOT = Path(__file__).parents[3]
SYMBOLS: dict[str, dict[str, list[str] | None]] = json.loads(Path(__file__).with_name("symbols.json").read_text())
HOMES = {"v1": est.v1, "v2": est}


def _found(api: str, name: str) -> Any:
    value = HOMES[api]
    for part in name.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("api", SYMBOLS)
def test_every_name_is_here_or_explained(api: str) -> None:
    for name in SYMBOLS[api]:
        if name in MISSING:
            with pytest.raises(AttributeError, match="is not available"):
                _found(api, name)
        else:
            assert _found(api, name) is not None


@pytest.mark.parametrize("api", SYMBOLS)
def test_parameters_are_in_the_old_places(api: str) -> None:
    differences = {}
    for name, recorded in SYMBOLS[api].items():
        if recorded is not None and name not in MISSING:
            ours = list(inspect.signature(_found(api, name)).parameters)
            # Parameters of our own come after all of the old library's.
            if ours[: len(recorded)] != recorded:
                differences[name] = ours
    assert differences == {}


def test_names_of_the_engine_that_never_were_have_the_usual_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'tf_estimator' has no attribute 'DNNClasifier'"):
        _ = est.DNNClasifier
    with pytest.raises(AttributeError, match="boosted trees"):
        _ = est.BoostedTreesClassifier
    assert not hasattr(est.v1, "polyaxon")


def test_document_has_a_row_of_every_name() -> None:
    spec = importlib.util.spec_from_file_location("symbol_table", ROOT / "scripts" / "symbol_table.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.table() in (ROOT / "docs" / "engine-api.md").read_text(), "run scripts/symbol_table.py"
