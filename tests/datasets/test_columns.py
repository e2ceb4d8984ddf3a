"""The columnar format: what write_table writes, open_dataset reads."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.datasets.table import NumberColumn, SequenceColumn, StringColumn, open_dataset
from app.errors import InvalidInput, NotFound
from tests.datasets.memory_table import write_table


def test_number_columns_keep_types_nulls_and_statistics(tmp_path: Path) -> None:
    write_table(tmp_path, {"age": [1.5, None, 4.5], "count": [3, 4, 5], "flag": [True, False, None]})
    table = open_dataset(tmp_path)
    assert table.rows == 3
    assert table.names == ["age", "count", "flag"]
    age = table.column("age")
    assert isinstance(age, NumberColumn)
    assert age.values.dtype == np.float32
    assert age.values.tolist() == [1.5, 0.0, 4.5]
    assert age.nulls is not None
    assert age.nulls.tolist() == [0, 1, 0]
    # mean (1.5 + 4.5) / 2 = 3, stddev sqrt(((1.5 - 3)^2 + (4.5 - 3)^2) / 2) = 1.5
    info = table.info("age")
    assert re.fullmatch(r"[0-9a-f]{16}", info.pop("fingerprint"))
    assert info == {
        "name": "age", "dtype": "float32", "sequence": False, "shape": [], "nulls": 1,
        "min": 1.5, "max": 4.5, "mean": 3.0, "stddev": 1.5, "distinct": 2, "vocabulary": None,
    }  # fmt: skip
    count = table.column("count")
    assert isinstance(count, NumberColumn)
    assert (count.values.dtype, count.nulls) == (np.int64, None)
    assert (table.info("flag")["dtype"], table.info("flag")["nulls"]) == ("int64", 1)
    assert table.preview(2) == [{"age": 1.5, "count": 3, "flag": 1}, {"age": None, "count": 4, "flag": 0}]


def test_string_column_is_coded_in_order_of_appearance_and_its_vocabulary_by_frequency(tmp_path: Path) -> None:
    write_table(tmp_path, {"word": ["b", "a", None, "a", "c"]}, rows_per_chunk=2)
    table = open_dataset(tmp_path)
    word = table.column("word")
    assert isinstance(word, StringColumn)
    assert word.codes is not None
    assert word.dictionary is not None
    assert word.codes.tolist() == [0, 1, -1, 1, 2]
    assert word.dictionary.tolist() == [b"b", b"a", b"c"]
    assert word.take(np.array([4, 2, 0])).tolist() == [b"c", b"", b"b"]
    assert word.is_null(slice(None)).tolist() == [False, False, True, False, False]
    info = table.info("word")
    assert (info["dtype"], info["nulls"], info["distinct"], info["vocabulary"]) == ("string", 1, 3, ["a", "b", "c"])


def test_sequences_of_numbers_and_strings_are_ragged(tmp_path: Path) -> None:
    write_table(tmp_path, {"n": [[1, 2], None, [], [3]], "s": [None, ["x", "y"], [], ["x"]]}, rows_per_chunk=1)
    table = open_dataset(tmp_path)
    numbers, strings = table.column("n"), table.column("s")
    assert isinstance(numbers, SequenceColumn)
    assert isinstance(strings, SequenceColumn)
    assert numbers.row_splits.tolist() == [0, 2, 2, 2, 3]
    assert strings.row_splits.tolist() == [0, 0, 2, 2, 3]
    elements, splits = strings.take(np.array([3, 0, 1]))
    assert elements.tolist() == [b"x", b"x", b"y"]
    assert splits.tolist() == [0, 1, 1, 3]
    info = table.info("n")
    assert (info["sequence"], info["dtype"], info["nulls"], info["max"], info["max_length"]) == (True, "int64", 1, 3, 2)
    assert table.preview(9)[3] == {"n": [3], "s": ["x"]}


def test_list_of_fixed_length_becomes_dense_by_schema(tmp_path: Path) -> None:
    schema = {"columns": {"v": {"dtype": "float32", "shape": [2, 2]}}}
    write_table(tmp_path, {"v": [None, [1, 2, 3, 4]]}, schema, rows_per_chunk=1)
    column = open_dataset(tmp_path).column("v")
    assert isinstance(column, NumberColumn)
    assert column.values.tolist() == [[[0, 0], [0, 0]], [[1, 2], [3, 4]]]
    assert column.nulls is not None
    assert column.nulls.tolist() == [1, 0]
    with pytest.raises(InvalidInput, match="row 2, column 'v': a list of 1 elements"):
        write_table(tmp_path / "b", {"v": [[1, 2, 3, 4], [5]]}, schema)


def test_late_floats_turn_an_integer_column_to_float32(tmp_path: Path) -> None:
    write_table(tmp_path, {"x": [1, 2, None, 3, 0.5]}, rows_per_chunk=2)
    whole = tmp_path / "late"
    schema = {"columns": {"x": {"dtype": "int64"}}}
    with pytest.raises(InvalidInput, match="row 5, column 'x': a number that is no int64"):
        write_table(whole, {"x": [1, 2, None, 3, 0.5]}, schema)
    column = open_dataset(tmp_path).column("x")
    assert isinstance(column, NumberColumn)
    assert column.values.tolist() == [1.0, 2.0, 0.0, 3.0, 0.5]


def test_mixed_kinds_name_row_and_column(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="row 1, column 'y': text, where the column has a number"):
        write_table(tmp_path, {"y": ["t"]}, {"columns": {"y": {"dtype": "int64"}}})
    assert not (tmp_path / "meta.json").exists()


def test_missing_dataset_and_column_are_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_dataset(tmp_path)
    write_table(tmp_path, {"x": [1]})
    with pytest.raises(InvalidInput, match="no column 'y'"):
        open_dataset(tmp_path).column("y")
    with pytest.raises(InvalidInput, match="names column 'z'"):
        write_table(tmp_path / "z", {"x": [1]}, {"columns": {"z": {"dtype": "int64"}}})


def test_reading_needs_neither_pyarrow_nor_any_server_library(tmp_path: Path) -> None:
    write_table(tmp_path, {"x": [1], "s": ["a"], "l": [[1]]})
    program = (
        "import sys; from app.datasets.table import open_dataset; print(open_dataset(sys.argv[1]).preview(1));"
        "assert not {'pyarrow', 'tensorflow', 'sqlalchemy', 'fastapi', 'celery', 'pandas'} & set(sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "[{'x': 1, 's': 'a', 'l': [1]}]\n"
