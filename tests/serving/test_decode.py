"""Bodies to rows: the typed way and the careful way give the same, and nothing but our errors comes out."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput, ServiceError
from app.serving.decode import Decoded, Decoder
from app.serving.export_description import ExportDescription, InputFeature, MissingValue, Output, Signature
from app.serving.feature_values import FLOAT32_LIMIT, INT64_MIN, BadValue, checked
from app.serving.packing import RowPacker
from app.serving.protocol import BadFrame

FEATURES = [
    InputFeature("number", "float32", missing=MissingValue("mean", 0.25)),
    InputFeature("a b:c", "int64"),
    InputFeature("word", "string", missing=MissingValue("category", "?")),
    InputFeature("pair", "float32", shape=(2,)),
    InputFeature("grid", "int64", shape=(2, 2)),
    InputFeature("list", "float32", sequence=True, missing=MissingValue("empty", [])),
]
EXPORT = ExportDescription(
    format=1, features=FEATURES, signatures={"serving_default": Signature("predict", [Output("y", "float32", (None,))])}
)
DECODER = Decoder(EXPORT, max_rows=1000)
ROW: dict[str, Any] = {
    "number": 1.5, "a b:c": -3, "word": "w", "pair": [1, 2.5], "grid": [[1, 2], [3, 4]], "list": [0.5],
}  # fmt: skip


def values(decoded: Decoded) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, f"f{i}") for i in range(len(FEATURES))) for row in decoded.rows]


def body(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"instances": rows}).encode()


def test_typed_and_careful_way_give_the_same_rows() -> None:
    typed = DECODER.decode("predict", body(ROW, ROW | {"number": None, "list": [1, 2, 3]}))
    spaced = json.dumps({"instances": [ROW, {k: v for k, v in ROW.items() if k != "number"} | {"list": [1, 2, 3]}]})
    careful = DECODER.decode("predict", spaced.encode())
    assert values(typed) == values(careful)
    assert typed.longest == careful.longest == 3
    assert values(typed)[1][0] == 0.25


def test_key_with_a_colon_in_a_value_or_twice_is_told_apart() -> None:
    assert values(DECODER.decode("predict", body(ROW | {"word": "12:30"})))[0][2] == "12:30"
    doubled = body(ROW).replace(b'"number": 1.5', b'"number": 1.5, "number": 2')
    with pytest.raises(InvalidInput, match="twice"):
        DECODER.decode("predict", doubled)


def test_doubled_key_is_found_though_another_is_absent() -> None:
    short = {
        k: v for k, v in ROW.items() if k != "word"
    }  # absent is allowed, so the number of colons is as it should be
    doubled = body(short).replace(b'"number": 1.5', b'"number": 1.5, "number": 2')
    with pytest.raises(InvalidInput, match="twice"):
        DECODER.decode("predict", doubled)


def test_integers_for_floats_are_taken_and_whole_floats_for_integers() -> None:
    row = values(DECODER.decode("predict", body(ROW | {"number": 7, "a b:c": 4.0})))[0]
    assert (row[0], row[1]) == (7.0, 4)
    assert isinstance(row[1], int)


def test_error_points_at_the_value() -> None:
    with pytest.raises(InvalidInput) as error:
        DECODER.decode("predict", body(ROW, ROW | {"grid": [[1, 2], [3]]}))
    assert error.value.errors[0].pointer == "/instances/1/grid"


def test_rows_become_columns_and_arrays_again() -> None:
    rows = DECODER.decode("predict", body(ROW, ROW | {"number": -2, "list": [1, 2, 3], "word": "é"})).rows
    packer = DECODER.packers["serving_default"]
    arrays = packer.unpack(packer.pack(rows), 2)
    floats, integers, words, pair, grid, padded, lengths = arrays
    assert floats.tolist() == [[1.5], [-2.0]]
    assert integers.tolist() == [[-3], [-3]]
    assert words == [["w"], ["é"]]
    assert pair.tolist() == [[1.0, 2.5]] * 2
    assert grid.tolist() == [[[1, 2], [3, 4]]] * 2
    assert padded.tolist() == [[0.5, 0.0, 0.0], [1.0, 2.0, 3.0]]
    assert lengths.tolist() == [1, 3]
    assert floats.dtype == np.float32


def test_one_row_has_the_bytes_that_it_has_among_others() -> None:
    kinds = ("float32", "float32", "int64", "string")
    given = [
        {"f0": 0.1, "f1": 1e-45, "f2": INT64_MIN, "f3": "é"},
        {"f0": -0.0, "f1": math.nextafter(FLOAT32_LIMIT, 0), "f2": 2**63 - 1, "f3": b"\xff"},
        {"f0": math.nan, "f1": math.inf, "f2": True, "f3": ""},
        {"f0": 16777217.0, "f1": 3, "f2": 0, "f3": "w"},
    ]
    rows = [SimpleNamespace(**row) for row in given]
    for names in (range(4), (0,), (2,), (3,)):  # several of a kind stand side by side, and one
        packer = RowPacker([InputFeature(f"f{i}", kinds[i]) for i in names])
        for row in rows if len(names) == 4 else [SimpleNamespace(f0=row[f"f{i}"]) for row in given for i in names]:
            twice = packer.pack([row, row])
            assert [column * 2 for column in packer.pack([row])] == twice


@pytest.mark.parametrize("change", [b"", b"\x00" * 3, b"\x00" * 400])
def test_column_of_another_size_is_a_bad_frame(change: bytes) -> None:
    packer = RowPacker(FEATURES)
    columns = packer.pack(DECODER.decode("predict", body(ROW)).rows)
    for i, column in enumerate(columns):
        if isinstance(column, bytes):
            with pytest.raises(BadFrame):
                packer.unpack([*columns[:i], change, *columns[i + 1 :]], 1)


def test_sequence_lengths_that_cannot_be_are_a_bad_frame() -> None:
    packer = RowPacker([InputFeature("list", "float32", sequence=True)])
    for length in (-1, 2, 2**62):
        with pytest.raises(BadFrame):
            packer.unpack([b"\x00" * 4, np.array([length], "<i8").tobytes()], 1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*ROW, "b64", "x"]), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["instances", "inputs", "signature_name", "examples", "context"]), json_values))
@settings(max_examples=300, deadline=None)
def test_any_json_gives_rows_or_a_service_error(content: dict[str, Any]) -> None:
    for verb in ("predict", "classify"):
        try:
            DECODER.decode(verb, json.dumps(content).encode())
        except ServiceError:
            pass


@given(st.fixed_dictionaries({}, optional={name: json_values | st.just(value) for name, value in ROW.items()}))
@settings(max_examples=300, deadline=None)
def test_any_instance_gives_finite_rows_of_the_right_shape_or_a_service_error(row: dict[str, Any]) -> None:
    try:
        decoded = DECODER.decode("predict", body(row))
    except ServiceError:
        return
    packer = DECODER.packers["serving_default"]
    arrays = packer.unpack(packer.pack(decoded.rows), 1)
    assert all(math.isfinite(number) for number in arrays[0].ravel())


@given(st.binary(max_size=60), st.integers(0, 200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_in_a_body_give_rows_or_a_service_error(noise: bytes, place: int) -> None:
    good = body(ROW)
    try:
        DECODER.decode("predict", good[:place] + noise + good[place:])
    except ServiceError:
        pass


def test_bare_value_is_taken_for_a_feature_of_one_element() -> None:
    one = InputFeature("one", "float32", shape=(1,))
    assert checked(2, one, example_form=False) == [2.0]
    assert checked([2], one, example_form=False) == [2.0]
    with pytest.raises(BadValue):
        checked([2, 3], one, example_form=False)


def test_names_that_json_escapes_are_decoded_too() -> None:
    names = ['say "hi"', "a\\b", "tab\tbed", "f0"]
    features = [InputFeature(name, "int64") for name in names]
    decoder = Decoder(ExportDescription(format=1, features=features, signatures=EXPORT.signatures), max_rows=10)
    body = json.dumps({"instances": [dict(zip(names, range(4), strict=True))]}).encode()
    (row,) = decoder.decode("predict", body).rows
    assert [row.f0, row.f1, row.f2, row.f3] == [0, 1, 2, 3]
    # The attributes of a row are no names of features.
    with pytest.raises(InvalidInput, match="no feature 'f1'"):
        decoder.decode("predict", b'{"instances": [{"f0": 0, "f1": 1, "f2": 2, "f3": 3}]}')
