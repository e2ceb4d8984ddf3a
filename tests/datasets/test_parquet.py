"""Parquet: Arrow's types become ours, or are refused by name."""

import datetime
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.limits import Limits
from app.errors import InvalidInput, TooLarge, UnsupportedMedia
from tests.datasets.ingested import ingested, rows_of, types_of


def parquet(columns: dict[str, object] | pa.Table, **options: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), file, **options)
    return file.getvalue()


_EVERY = {
    "u": pa.array([1, None, 3], pa.uint8()),
    "f": pa.array([1.5, float("nan"), None], pa.float32()),
    "s": pa.array(["a", None, "a"]).dictionary_encode(),
    "r": pa.array([b"\xff", b"", None]),
    "l": pa.array([[1, 2], None, []]),
    "d": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "b": pa.array([True, False, None]),
    "z": pa.nulls(3),
}


def test_every_supported_type_is_read() -> None:
    data = parquet(_EVERY)
    assert types_of(data, "x.parquet", {"columns": {"d": {"shape": [2]}}}) == {
        "u": "int64", "f": "float32", "s": "string", "r": "string", "l": "int64[]", "d": "float32", "b": "int64",
        "z": "float32",
    }  # fmt: skip
    rows = rows_of(data, "x.parquet", {"columns": {"d": {"shape": [2]}}})
    assert rows[0] == {
        "u": 1, "f": 1.5, "s": "a", "r": {"b64": "/w=="}, "l": [1, 2], "d": [1.0, 2.0], "b": 1, "z": None,
    }  # fmt: skip
    assert rows[1] == {"u": None, "f": None, "s": None, "r": "", "l": [], "d": None, "b": 0, "z": None}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([datetime.datetime(2020, 1, 1)]), "Column 'x' has the type timestamp"),
        (pa.array([{"a": 1}]), "Column 'x' has the type struct"),
        (pa.array([[[1]]]), "Column 'x' has the type list"),
        (pa.array([2**64 - 1], pa.uint64()), "Column 'x' holds integers beyond int64"),
        (pa.array([1e39]), "Row 1, column 'x': a number that is infinite or beyond"),
        (pa.array([[1, None]]), "Row 1, column 'x': a list with a null"),
    ],
)
def test_what_has_no_place_in_a_data_set_is_refused_by_name(column: pa.Array, message: str) -> None:
    with pytest.raises(InvalidInput) as caught, ingested(parquet({"x": column}), "x.parquet"):
        pass
    assert message in caught.value.detail


def test_text_by_schema_a_number_names_the_row() -> None:
    with pytest.raises(InvalidInput, match=r"^Row 2, column 'x': text"):
        rows_of(parquet({"x": [None, "t"]}), "x.parquet", {"columns": {"x": {"dtype": "int64"}}})


def test_cut_or_foreign_files_are_refused() -> None:
    data = parquet({"x": list(range(1000))})
    for damaged in (data[:-20], data[:50] + b"PAR1", b"PAR1" + bytes(20) + b"PAR1"):
        with pytest.raises(InvalidInput, match="damaged or cut off"):
            rows_of(damaged, "x.parquet")
    with pytest.raises(UnsupportedMedia):
        rows_of(b"a,b\n1,2\n", "x.parquet")
    double = pa.table([[1], [2]], names=["x", "x"])
    with pytest.raises(InvalidInput, match="'x' is empty or comes twice"):
        rows_of(parquet(double), "x.parquet")


def test_small_file_that_unfolds_is_stopped() -> None:
    data = parquet({"x": pa.array(["repeated" * 10] * 100_000).dictionary_encode()}, compression="zstd")
    assert len(data) < 10_000
    with pytest.raises(TooLarge, match="decoded data has more than 1000000 bytes"):
        rows_of(data, "x.parquet", limits=Limits(max_bytes=1_000_000))
    with pytest.raises(TooLarge, match="100000 rows"):
        rows_of(data, "x.parquet", limits=Limits(max_rows=10))


def test_file_of_one_value_a_million_times_is_stopped() -> None:
    column = pa.DictionaryArray.from_arrays(np.zeros(2**20, np.int32), ["repeated" * 10])
    data = parquet({"x": column}, compression="zstd")
    assert len(data) < 50_000  # for 80 MiB
    with pytest.raises(TooLarge, match="more than 1000 times the bytes of the file"):
        rows_of(data, "x.parquet")


_FILE = parquet({"n": list(range(50)), "s": ["text"] * 50})


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(_FILE) - 1), st.integers(0, 255))
def test_any_changed_byte_is_read_or_refused(place: int, byte: int) -> None:
    data = bytearray(_FILE)
    data[place] = byte
    try:
        rows_of(bytes(data), "x.parquet")
    except (InvalidInput, UnsupportedMedia) as error:
        assert error.detail
