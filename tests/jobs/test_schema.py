from __future__ import annotations

import math
from typing import Any

import pytest

from app.jobs.json_schema import check
from app.json_pointer import pointer


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (math.nan, {"type": "number"}),
        (math.inf, {"type": "number"}),
        (True, {"type": "integer"}),
        (1, {"type": "boolean"}),
        (2**63, {"type": "integer"}),
        (1.0, {"type": "integer"}),
        (0, {"type": "number", "exclusiveMinimum": 0}),
        ("a\n", {"type": "string", "pattern": "^a$"}),
        ("\ud800", {"type": "string"}),
        ("a\x00", {"type": "string"}),
        (True, {"enum": [1, 2]}),
        ({}, {"type": "object", "minProperties": 1}),
        ([1], {"type": "array", "minItems": 2}),
        (None, {"type": "string"}),
    ],
)
def test_value_outside_the_schema_is_refused(value: Any, schema: dict[str, Any]) -> None:
    assert [error.pointer for error in check(value, schema, "/x")] == ["/x"]


def test_pointer_escapes_and_messages_hold_no_values() -> None:
    assert pointer("a/b", "c~d", 3) == "/a~1b/c~0d/3"
    (error,) = check({"secret/value": "hunter2"}, {"type": "object", "additionalProperties": {"type": "integer"}})
    assert error.pointer == "/secret~1value"
    assert "hunter2" not in error.detail


def test_union_names_the_argument_inside_the_kind_that_was_meant() -> None:
    defs = {
        "a": {"properties": {"type": {"const": "a"}, "n": {"type": "integer"}}, "additionalProperties": False},
        "b": {"properties": {"type": {"const": "b"}}, "additionalProperties": False},
        "any": {
            "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}],
            "discriminator": {"propertyName": "type", "mapping": {"a": "#/$defs/a", "b": "#/$defs/b"}},
        },
    }
    schema = {"$ref": "#/$defs/any"}
    assert check({"type": "a", "n": 1}, schema, "", defs) == []
    assert [e.pointer for e in check({"type": "a", "n": "x"}, schema, "", defs)] == ["/n"]
    assert [e.pointer for e in check({"type": "c"}, schema, "", defs)] == ["/type"]
