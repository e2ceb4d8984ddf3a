"""The check of estimator arguments agrees with a complete JSON Schema validator on what is valid."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.jobs import estimators, json_schema
from tests.jobs.stored import NAMES, stored

TRAINED = [name for name in NAMES if name.startswith("train_")]
#: Values of every JSON type. Left out are those about which ours is stricter on purpose: 1.0 for a whole number,
#: numbers beyond 64 bits or not finite, NUL in a string.
VALUES = [None, True, False, -1, 0, 1, 7, 0.25, -0.5, "", "relu", "nothing", [], [1], ["a"], {}, {"type": "nothing"}]


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, item in inner for path in paths(item, (*at, key)))]


def changed(value: Any, path: tuple[Any, ...], change: str, new: Any) -> Any:
    """A copy with the value at a path replaced or removed, or with a new entry beside it."""
    value = copy.deepcopy(value)
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    if change == "replace":
        parent[path[-1]] = new
    elif change == "remove":
        del parent[path[-1]]
    elif isinstance(parent, dict):
        parent["further"] = new
    else:
        parent.append(new)
    return value


@pytest.fixture(scope="module")
def validators() -> dict[str, Any]:
    definitions = dict(estimators.definitions())
    return {
        kind: jsonschema_rs.validator_for({"$ref": f"#/$defs/{kind}", "$defs": definitions})
        for kind in estimators.document()["estimators"]
    }


@settings(deadline=None, max_examples=300, derandomize=True, database=None)
@given(data=st.data())
def test_ours_accepts_what_a_complete_validator_accepts(validators: dict[str, Any], data: st.DataObject) -> None:
    estimator = stored(data.draw(st.sampled_from(TRAINED)))["request"]["estimator"]
    kind, args = estimator["type"], estimator["args"]
    for _ in range(data.draw(st.integers(0, 3))):
        found = [path for path in paths(args) if path]
        if not found:
            break
        change = data.draw(st.sampled_from(["replace", "remove", "add"]))
        args = changed(args, data.draw(st.sampled_from(found)), change, data.draw(st.sampled_from(VALUES)))
    definitions = estimators.definitions()
    ours = json_schema.check(args, definitions[kind], "", definitions)
    assert (not ours) == validators[kind].is_valid(args), ours
