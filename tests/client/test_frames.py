"""Rows in and out of the client: DataFrames, arrays and lists."""

from __future__ import annotations

import datetime
import io
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

from estimator_client import frames

ROWS = [{"x": 1.5, "name": "a", "n": 1}, {"x": None, "name": None, "n": 2}]


def test_missing_values_of_pandas_and_polars_are_none() -> None:
    columns = {"x": [1.5, None], "name": ["a", None], "n": [1, 2]}

    assert frames.rows_of(pd.DataFrame(columns)) == ROWS
    assert frames.rows_of(pl.DataFrame(columns)) == ROWS


def test_pandas_types_without_numbers_become_json() -> None:
    frame = pd.DataFrame(
        {
            "flag": pd.array([True, None], dtype="boolean"),
            "when": pd.to_datetime(["2026-01-02", None]),
            "kind": pd.Categorical(["a", "b"]),
        }
    )

    assert frames.rows_of(frame) == [
        {"flag": True, "when": "2026-01-02T00:00:00", "kind": "a"},
        {"flag": None, "when": None, "kind": "b"},
    ]


def test_arrays_and_their_scalars_become_lists_and_numbers() -> None:
    assert frames.rows_of({"x": np.array([[1, 2], [3, 4]]), "y": [np.float32(0.5), 1]}) == [
        {"x": [1, 2], "y": 0.5},
        {"x": [3, 4], "y": 1},
    ]
    assert frames.rows_of([{"x": np.int64(3), "b": b"\xff", "d": datetime.date(2026, 1, 2)}]) == [
        {"x": 3, "b": {"b64": "/w=="}, "d": "2026-01-02"}
    ]
    assert frames.rows_of([[1.0, math.nan]]) == [[1.0, None]]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[1, 2\]"):
        frames.rows_of({"x": [1], "y": [1, 2]})


def test_predictions_come_as_a_frame_of_the_same_library() -> None:
    answers = [{"p": [0.5], "all": [0.5, 0.5]}, {"p": [0.25], "all": [0.25, 0.75]}]

    told = frames.frame_like(pd.DataFrame({"x": [1, 2]}, index=["a", "b"]), answers)
    assert list(told.index) == ["a", "b"]
    assert told["p"].tolist() == [0.5, 0.25]
    assert told["all"].tolist() == [[0.5, 0.5], [0.25, 0.75]]
    assert frames.frame_like(pl.DataFrame({"x": [1, 2]}), [0.5, 0.25])["prediction"].to_list() == [0.5, 0.25]


def test_frames_are_uploaded_as_parquet() -> None:
    content, ending = frames.as_file(pl.DataFrame({"x": [1, 2]}))
    assert (pd.read_parquet(io.BytesIO(content))["x"].tolist(), ending) == ([1, 2], ".parquet")
    content, ending = frames.as_file(pd.DataFrame({"x": [1, 2]}))
    assert (pl.read_parquet(content)["x"].to_list(), ending) == ([1, 2], ".parquet")


def test_outputs_come_as_arrays() -> None:
    assert frames.arrays({"p": [[1.0], [2.0]]})["p"].shape == (2, 1)
    assert frames.arrays([1, 2]).tolist() == [1, 2]


def test_batches_hold_every_row_in_order() -> None:
    assert list(frames.batches(iter(range(5)), 2)) == [[0, 1], [2, 3], [4]]
    assert list(frames.batches([], 2)) == []


def test_no_library_is_needed_or_imported() -> None:
    code = (
        "import sys; from estimator_client import frames; frames.rows_of([{'x': 1.0}]); print('numpy' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
