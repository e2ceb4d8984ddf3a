"""Outputs as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from app.serving.predictor.response import ResponseEncoder
from app.serving.protocol import Form


def encode(outputs: dict[str, Any], counts: list[int], forms: list[Form]) -> list[Any]:
    bodies = ResponseEncoder(list(outputs)).encode([np.array(value) for value in outputs.values()], counts, forms)
    return [json.loads(body) for body in bodies]


def test_one_output_is_bare_and_several_are_objects() -> None:
    assert encode({"y": [1.0, 2.0]}, [2], [Form.ROW]) == [{"predictions": [1.0, 2.0]}]
    assert encode({"y": [[1.0], [2.0]]}, [2], [Form.COLUMN]) == [{"outputs": [[1.0], [2.0]]}]
    two = {"y": [1.0, 2.0], "z": [3, 4]}
    assert encode(two, [2], [Form.ROW]) == [{"predictions": [{"y": 1.0, "z": 3}, {"y": 2.0, "z": 4}]}]
    assert encode(two, [2], [Form.COLUMN]) == [{"outputs": {"y": [1.0, 2.0], "z": [3, 4]}}]


def test_each_request_gets_its_own_rows_in_its_own_form() -> None:
    bodies = encode({"y": [1.0, 2.0, 3.0]}, [1, 2], [Form.COLUMN, Form.ROW])
    assert bodies == [{"outputs": [1.0]}, {"predictions": [2.0, 3.0]}]


def test_strings_are_text_or_b64() -> None:
    given = {"s": np.array([[b"a", b"\xff"]], object), "s_bytes": np.array([[b"a", b"b"]], object)}
    row = encode(given, [1], [Form.ROW])[0]["predictions"][0]
    assert row == {"s": ["a", {"b64": "/w=="}], "s_bytes": [{"b64": "YQ=="}, {"b64": "Yg=="}]}


def test_nested_strings_keep_their_shape() -> None:
    words = np.array([[[b"a", b"b"], [b"c", b"d"]]], object)
    assert encode({"s": words}, [1], [Form.ROW]) == [{"predictions": [[["a", "b"], ["c", "d"]]]}]
    for shape in ((2, 0), (2, 3, 0), (2, 0, 3), (2, 3, 1), (2, 1, 3)):
        array = np.full(shape, b"x", object)
        numbers = np.zeros(shape)
        expected = encode({"s": numbers}, [2], [Form.ROW])
        assert json.loads(json.dumps(expected).replace("0.0", '"x"')) == encode({"s": array}, [2], [Form.ROW]), shape


def test_numbers_that_json_has_not_are_null() -> None:
    assert encode({"y": np.array([np.nan, np.inf, 1.0], np.float32)}, [3], [Form.ROW]) == [
        {"predictions": [None, None, 1.0]}
    ]


def test_classification_without_labels_has_empty_ones() -> None:
    results = [[["", 0.25], ["", 0.75]]]
    assert encode({"scores": [[0.25, 0.75]]}, [1], [Form.CLASSIFY]) == [{"results": results, "result": results}]


def test_regression_is_one_number_a_row() -> None:
    assert encode({"outputs": [[1.5], [2.5]]}, [2], [Form.REGRESS]) == [{"results": [1.5, 2.5], "result": [1.5, 2.5]}]


def test_outputs_of_names_that_json_escapes_are_written() -> None:
    rows = [{'say "hi"': 1.0, "a\\b": 3}, {'say "hi"': 2.0, "a\\b": 4}]
    assert encode({'say "hi"': [1.0, 2.0], "a\\b": [3, 4]}, [2], [Form.ROW]) == [{"predictions": rows}]
