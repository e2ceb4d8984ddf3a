"""What a request is told of its own values, where it asks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import InvalidInput
from app.serving.decode import Decoder
from app.serving.export_description import ExportDescription, InputFeature, MissingValue, Signature
from app.serving.notes import with_warnings

FEATURES = [
    InputFeature("age", "float32", missing=MissingValue("mean", 40.0), min=20.0, max=60.0),
    InputFeature("town", "string", missing=MissingValue("category", "?"), vocabulary=["Rome", "Köln"]),
]
SIGNATURES = {
    "serving_default": Signature("predict", []),
    "classification": Signature("classify", []),
}


def decode(body: dict[str, Any], verb: str = "predict") -> Any:
    decoder = Decoder(ExportDescription(format=1, features=FEATURES, signatures=SIGNATURES), max_rows=100)
    return decoder.decode(verb, json.dumps(body).encode())


ODD = [
    {"age": 40, "town": "Köln"},
    {"age": None, "town": "Ulm"},
    {"town": "Bonn"},
    # Training saw 20 to 60; 40 more on each side are not far outside.
    {"age": 100, "town": "Rome"},
    {"age": 100.5, "town": "Rome", "name": "x"},
    {"age": -21, "town": None, "name": "y"},
]


def told(warnings: Any) -> dict[tuple[str, str], tuple[list[int], int]]:
    return {(warning.feature, warning.kind): (warning.instances, warning.count) for warning in warnings}


def test_each_odd_value_is_told_with_its_instances() -> None:
    decoded = decode({"instances": ODD, "warnings": True, "ignore_unknown": True})
    assert told(decoded.warnings) == {
        ("age", "missing"): ([1, 2], 2),
        ("town", "unknown_category"): ([1, 2], 2),
        ("name", "ignored"): ([4, 5], 2),
        ("age", "far_outside"): ([4, 5], 2),
        ("town", "missing"): ([5], 1),
    }
    assert decoded.count == 6


def test_columns_and_examples_are_told_too() -> None:
    columns = {"age": [40, 1000], "town": ["Ulm", "Rome"], "name": ["x", "y"]}
    decoded = decode({"inputs": columns, "warnings": True, "ignore_unknown": True})
    assert told(decoded.warnings) == {
        ("name", "ignored"): ([0], 1),
        ("town", "unknown_category"): ([0], 1),
        ("age", "far_outside"): ([1], 1),
    }
    decoded = decode({"examples": [{"town": "Ulm"}], "warnings": True}, "classify")
    assert told(decoded.warnings) == {("age", "missing"): ([0], 1), ("town", "unknown_category"): ([0], 1)}


def test_requests_that_do_not_ask_are_answered_as_ever() -> None:
    assert decode({"instances": ODD[:4]}).warnings is None
    assert with_warnings(b'{"predictions": [1]}', None) == b'{"predictions": [1]}'
    with pytest.raises(InvalidInput, match=r"Instance 0: the model has no feature 'name'\. Leave it out, or send"):
        decode({"instances": [ODD[4]]})


def test_warnings_are_the_last_key_of_the_answer() -> None:
    decoded = decode({"instances": ODD[1:2], "warnings": True})
    answer = json.loads(with_warnings(b'{"predictions":[0.5]}', decoded.warnings))
    assert answer["predictions"] == [0.5]
    assert answer["warnings"][1] == {
        "feature": "town",
        "kind": "unknown_category",
        "detail": "None of the 2 texts that training saw.",
        "instances": [0],
        "count": 1,
    }
    assert json.loads(with_warnings(b'{"predictions":[0.5]}', [])) == {"predictions": [0.5], "warnings": []}


def test_long_lists_of_instances_are_cut_and_counted() -> None:
    decoded = decode({"instances": [{}] * 50, "warnings": True})
    assert told(decoded.warnings)["age", "missing"] == (list(range(20)), 50)


def test_true_and_false_are_taken_where_training_saw_0_and_1() -> None:
    flag, share = InputFeature("vip", "float32", min=0, max=1), InputFeature("share", "float32", min=0, max=0.5)
    decoder = Decoder(ExportDescription(format=1, features=[flag], signatures=SIGNATURES), max_rows=10)
    rows = decoder.decode("predict", b'{"instances": [{"vip": true}, {"vip": false}, {"vip": 1}]}').rows
    assert [row.f0 for row in rows] == [1.0, 0.0, 1.0]
    decoder = Decoder(ExportDescription(format=1, features=[share], signatures=SIGNATURES), max_rows=10)
    with pytest.raises(InvalidInput, match="true or false"):
        decoder.decode("predict", b'{"instances": [{"share": true}]}')


@pytest.mark.parametrize("option", ["warnings", "ignore_unknown"])
def test_options_are_true_or_false(option: str) -> None:
    with pytest.raises(InvalidInput, match=f"{option} has to be true or false"):
        decode({"instances": [], option: "yes"})
