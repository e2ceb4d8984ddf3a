"""Answers that are tensors are judged and kept as JSON's would be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from app.releases.compare import compare
from app.serving.predictor.response import ResponseEncoder
from app.serving.protocol import Form
from app.serving.tensor_rows import compare_outputs, json_answer
from app.serving.tensors import encode_outputs

Arrays = Mapping[str, Any]


def outputs(arrays: Arrays) -> bytes:
    return encode_outputs(list(arrays), [array(value) for value in arrays.values()])


def array(values: Any) -> Any:
    """As TensorFlow gives it: strings are bytes."""
    found = np.array(values)
    return np.char.encode(found).astype(object) if found.dtype.kind == "U" else found


def in_json(arrays: Arrays, form: Form = Form.ROW) -> bytes:
    given: Sequence[Any] = [array(value) for value in arrays.values()]
    return ResponseEncoder(list(arrays)).encode(given, [len(given[0])], [form])[0]


NAMES = [["a", "b"]] * 2
PAIRS: list[tuple[Arrays, Arrays]] = [
    ({"y": [1.0, 2.0]}, {"y": [1.0, 2.0]}),
    ({"y": [1.0, 2.0]}, {"y": [1.0, 2.01]}),
    ({"y": [1.0, 2.0]}, {"y": [1.0, 2.5]}),
    ({"y": [1.0, math.nan]}, {"y": [1.0, math.nan]}),
    ({"y": [1.0, math.inf]}, {"y": [1.1, math.nan]}),
    ({"y": [1.0, math.nan]}, {"y": [1.0, 2.0]}),
    ({"y": [[1.0, 2.0]]}, {"y": [[1.0, 2.0, 3.0]]}),
    ({"y": [1.0], "z": [1]}, {"y": [1.0], "other": [1]}),
    ({"y": [1.0], "z": ["x"]}, {"y": [1.0], "z": ["x"]}),
    ({"y": [1.0], "z": ["x"]}, {"y": [1.0], "z": ["y"]}),
    ({"y": [True], "z": [1.0]}, {"y": [False], "z": [1.0]}),
    ({"class_ids": [[200]], "p": [0.5]}, {"class_ids": [[201]], "p": [0.5]}),
    ({"class_ids": [[1]], "p": [0.4]}, {"class_ids": [[1]], "p": [0.9]}),
    ({"scores": [[0.4, 0.6], [0.4, 0.6]], "classes": NAMES}, {"scores": [[0.1, 0.9], [0.3, 0.7]], "classes": NAMES}),
    ({"scores": [[0.4, 0.6], [0.4, 0.6]], "classes": NAMES}, {"scores": [[0.1, 0.9], [0.6, 0.4]], "classes": NAMES}),
    ({"scores": [[0.4, 0.6]], "classes": [["", ""]]}, {"scores": [[0.6, 0.4]], "classes": [["", ""]]}),
]


@pytest.mark.parametrize(("live", "other"), PAIRS)
def test_tensors_agree_when_the_same_answers_in_json_do(live: Arrays, other: Arrays) -> None:
    agrees, difference = compare_outputs(outputs(live), outputs(other))
    expected, by = compare(in_json(live), in_json(other))
    assert (agrees, difference) == (expected, pytest.approx(by))


def test_classify_is_judged_by_the_class_with_the_highest_score() -> None:
    live, same, other = (
        {"scores": [scores], "classes": [["a", "b"]]} for scores in ([0.4, 0.6], [0.1, 0.9], [0.6, 0.4])
    )
    for answer, agrees in ((same, True), (other, False)):
        assert compare_outputs(outputs(live), outputs(answer))[0] is agrees
        assert compare(in_json(live, Form.CLASSIFY), in_json(answer, Form.CLASSIFY))[0] is agrees


def test_outputs_become_the_body_that_json_would_have() -> None:
    arrays = {"scores": [[0.25, 0.75]], "classes": [[b"a", b"\xff"]]}
    found = json.loads(json_answer("classify", outputs(arrays)))
    assert found["results"] == [[["a", 0.25], [{"b64": "/w=="}, 0.75]]]
    assert json.loads(json_answer("predict", outputs({"y": [[1], [2]]}))) == {"predictions": [[1], [2]]}
    assert json.loads(json_answer("regress", outputs({"outputs": [[1.5], [2.5]]})))["results"] == [1.5, 2.5]
