"""Messages of `ModelInfer` against protobuf's own, and rows as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.protocols.oip_schema import PUBLIC
from estimator_client import infer_messages, infer_tensors


def test_requests_are_what_protobuf_reads() -> None:
    inputs = {"x": np.arange(600, dtype=np.int16).reshape(300, 2), "é": np.array([b"", b"a\0"], object)}

    found = PUBLIC.message("inference.ModelInferRequest").FromString(infer_messages.encode_request("m", "7", inputs))

    assert (found.model_name, found.model_version) == ("m", "7")
    assert [(one.name, one.datatype, list(one.shape)) for one in found.inputs] == [
        ("x", "INT16", [300, 2]),
        ("é", "BYTES", [2]),
    ]
    raw = found.raw_input_contents
    assert np.frombuffer(raw[0], "<i2").tolist() == list(range(600))
    assert raw[1] == b"\0\0\0\0\x02\0\0\0a\0"


@pytest.mark.parametrize(
    ("datatype", "raw", "expected"),
    [
        ("FP32", np.array([0.5, 2], "<f4").tobytes(), [0.5, 2.0]),
        ("BF16", b"\x00\x3f\x00\x40", [0.5, 2.0]),  # the upper halves of 0x3f000000 and 0x40000000
        ("UINT64", np.array([0, 2**64 - 1], "<u8").tobytes(), [0, 2**64 - 1]),
        ("BOOL", b"\0\1", [False, True]),
        ("BYTES", b"\x02\0\0\0\xc3\xa9\x01\0\0\0\xff", ["é", b"\xff"]),
    ],
)
def test_answers_that_protobuf_writes_are_read(datatype: str, raw: bytes, expected: list[Any]) -> None:
    answer = PUBLIC.message("inference.ModelInferResponse")(model_name="m", model_version="3", id="7")
    answer.parameters["p"].int64_param = 1
    answer.outputs.add(name="y" * 200, datatype=datatype, shape=[2, 1])
    answer.raw_output_contents.append(raw)

    found = infer_messages.decode_outputs(answer.SerializeToString())

    assert found["y" * 200].tolist() == [[value] for value in expected]


def test_an_answer_that_is_no_message_is_told() -> None:
    with pytest.raises(ValueError, match="no message"):
        infer_messages.decode_outputs(b"\x0f")


def test_an_unknown_dtype_is_told() -> None:
    with pytest.raises(ValueError, match=r"column x is of complex64"):
        infer_messages.encode_request("m", "", {"x": np.zeros(1, np.complex64)})


def test_missing_values_part_the_calls_of_rows() -> None:
    rows = [{"x": 1.0, "s": "a"}, {"x": 2, "s": "b"}, {"x": None, "s": "c"}, {"s": "d"}, {"x": 3, "s": "e"}]

    calls = [{name: found.tolist() for name, found in call.items()} for call in infer_tensors.calls_of_rows(rows)]

    assert calls == [{"x": [1.0, 2.0], "s": [b"a", b"b"]}, {"s": [b"c", b"d"]}, {"x": [3], "s": [b"e"]}]


def test_columns_that_are_missing_are_left_out_and_half_missing_ones_refused() -> None:
    assert infer_tensors.tensors_of_columns({"x": np.array([np.nan, np.nan]), "y": [None]}) == {}
    for half in (np.array([1.0, np.nan]), [1.0, None], ["a", None], [[1.0], None], [[1.0, None]]):
        with pytest.raises(ValueError, match="column x has a missing value"):
            infer_tensors.tensors_of_columns({"x": half})


def test_sequences_are_padded_with_their_lengths_beside() -> None:
    found = infer_tensors.tensors_of_columns({"q": [[[1, 2]], [[3, 4], [5, 6]], []], "w": [["a"], ["b", b"\xff"], []]})

    assert found["q"].tolist() == [[[1, 2], [0, 0]], [[3, 4], [5, 6]], [[0, 0], [0, 0]]]
    assert found["w"].tolist() == [[b"a", b""], [b"b", b"\xff"], [b"", b""]]
    assert found["q_length"].tolist() == found["w_length"].tolist() == [1, 2, 0]


def test_numbers_keep_what_they_are() -> None:
    found = infer_tensors.tensors_of_columns({"i": [2**60 + 1], "f": [1, 0.5], "b": [True], "a": np.ones(1, np.int8)})

    assert {name: (array.dtype.name, array.tolist()) for name, array in found.items()} == {
        "i": ("int64", [2**60 + 1]),
        "f": ("float64", [1.0, 0.5]),
        "b": ("bool", [True]),
        "a": ("int8", [1]),
    }


@pytest.mark.parametrize(
    ("values", "reason"),
    [(["a", 1], "different kinds"), ([[1], 2], "different kinds"), ([[], []], "empty in every row")],
)
def test_values_that_are_no_tensor_are_refused(values: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        infer_tensors.tensors_of_columns({"x": values})


def test_rows_without_names_are_refused() -> None:
    with pytest.raises(ValueError, match="mapping of features"):
        list(infer_tensors.calls_of_rows([1.0]))
