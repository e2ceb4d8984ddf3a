from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.datasets.ingest import ingest
from app.datasets.limits import Limits
from app.datasets.table import Table, open_dataset
from app.errors import InvalidInput
from workers.data import chunks as pieces
from workers.data import features as columns
from workers.data import statistics
from workers.data.chunks import Scratch
from workers.data.features import Coded, Lists

CSV = 'kind,size,n,tags\nrose,1.5,1,"[""a"", ""b""]"\n,,2,"[]"\ndaisy,2.5,,"[""c""]"\nrose,5.0,4,"[""a""]"\n'


@pytest.fixture
def table(tmp_path: Path) -> Table:
    directory = tmp_path / "data"
    directory.mkdir()
    ingest(io.BytesIO(CSV.encode()), "x.csv", directory, Limits())
    return open_dataset(directory)


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path / "scratch")


def feature(name: str, dtype: str, policy: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": [], "sequence": False} | {
        "missing": {"policy": policy, "value": value},
        **more,
    }


def test_missing_numbers_are_filled(table: Table, scratch: Scratch) -> None:
    asked = [feature("size", "float32", "mean", 3.0), feature("n", "int64", "constant", -1)]
    values = columns.feature_values(table, asked, scratch)
    np.testing.assert_array_equal(values["size"], np.array([1.5, 3.0, 2.5, 5.0], np.float32))
    np.testing.assert_array_equal(values["n"], np.array([1, 2, -1, 4]))
    assert (values["size"].dtype, values["n"].dtype) == (np.float32, np.int64)


def test_missing_string_is_a_category_of_its_own(table: Table, scratch: Scratch) -> None:
    values = columns.feature_values(table, [feature("kind", "string", "category", "(missing)")], scratch)["kind"]
    assert isinstance(values, Coded)
    assert [values.vocabulary[code] for code in values.codes] == [b"rose", b"(missing)", b"daisy", b"rose"]


def test_sequences_keep_their_lists(table: Table, scratch: Scratch) -> None:
    values = columns.feature_values(table, [feature("tags", "string", "empty", [], sequence=True)], scratch)["tags"]
    assert isinstance(values, Lists)
    assert values.row_splits.tolist() == [0, 2, 2, 3, 4]


def test_column_that_the_data_lack_is_missing_in_each_row(table: Table, scratch: Scratch) -> None:
    asked = [feature("new", "float32", "constant", 7.0), feature("word", "string", "category", "(missing)")]
    values = columns.feature_values(table, asked, scratch)
    assert values["new"].tolist() == [7.0] * 4
    assert values["word"].vocabulary.tolist() == [b"(missing)"]


def test_policy_error_names_the_row(table: Table, scratch: Scratch) -> None:
    with pytest.raises(InvalidInput, match="'size' has no value in row 2"):
        columns.feature_values(table, [feature("size", "float32", "error", None)], scratch)


def test_rows_without_a_needed_value_are_dropped(table: Table, scratch: Scratch) -> None:
    assert columns.select_rows(table, None, "all", [], scratch) is None
    assert columns.select_rows(table, None, "all", ["kind", "n"], scratch).tolist() == [0, 3]
    parts = [columns.select_rows(table, 0.5, part, [], scratch) for part in ("train", "holdout")]
    assert sorted(np.concatenate(parts).tolist()) == [0, 1, 2, 3]
    assert all(rows.dtype == np.int64 and np.all(np.diff(rows) > 0) for rows in parts)


def test_no_row_left_is_told(tmp_path: Path) -> None:
    directory = tmp_path / "one"
    directory.mkdir()
    ingest(io.BytesIO(b"a,b\n1,\n2,\n3,1\n"), "x.csv", directory, Limits())
    one = open_dataset(directory)
    part = "train" if one.split_mask(0.5, "holdout", slice(2, 3)).item() else "holdout"
    with pytest.raises(InvalidInput, match="No row is left"):
        columns.select_rows(one, 0.5, part, ["b"], Scratch(tmp_path / "scratch"))


def test_labels_are_checked_in_the_chosen_rows_only(table: Table, scratch: Scratch) -> None:
    label = {"head": None, "columns": ["kind"], "kind": "class", "vocabulary": ["rose"]}
    rows = np.array([0, 3])
    assert isinstance(columns.label_values(table, [label], {None: {}}, rows, scratch), Coded)
    with pytest.raises(InvalidInput, match="not in label_vocabulary in row 3"):
        columns.label_values(table, [label], {None: {}}, np.array([0, 2, 3]), scratch)
    with pytest.raises(InvalidInput, match="no value in row 2"):
        columns.label_values(table, [label], {None: {}}, None, scratch)


def test_class_numbers_must_be_under_n_classes(table: Table, scratch: Scratch) -> None:
    label = {"head": None, "columns": ["n"], "kind": "class", "vocabulary": None}
    with pytest.raises(InvalidInput, match="outside 0 to 2 in row 4"):
        columns.label_values(table, [label], {None: {"n_classes": 3}}, np.array([0, 1, 3]), scratch)


def test_lists_of_classes_become_many_hot(table: Table, scratch: Scratch) -> None:
    label = {"head": None, "columns": ["tags"], "kind": "multilabel", "vocabulary": ["a", "b", "c"]}
    hot = columns.label_values(table, [label], {None: {"n_classes": 3}}, None, scratch)
    assert hot.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]


def test_several_number_columns_stand_side_by_side(table: Table, scratch: Scratch) -> None:
    label = {"head": "h", "columns": ["size", "size"], "kind": "number", "vocabulary": None}
    values = columns.label_values(table, [label], {"h": {}}, np.array([0, 2, 3]), scratch)
    assert values["h"].shape == (4, 2)


def test_big_columns_are_filled_on_disk(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "IN_MEMORY_BYTES", 8)
    scratch = Scratch(tmp_path / "scratch")
    values = columns.feature_values(table, [feature("size", "float32", "mean", 3.0)], scratch)["size"]
    assert isinstance(values, np.memmap)
    assert values.tolist() == [1.5, 3.0, 2.5, 5.0]
    assert list((tmp_path / "scratch").glob("*.npy"))


def test_what_is_made_is_the_same_in_memory_and_on_disk_and_in_pieces(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [feature("size", "float32", "mean", 3.0), feature("kind", "string", "category", "(missing)")]
    labels = [
        {"head": "several", "columns": ["size", "size"], "kind": "number", "vocabulary": None},
        {"head": "tags", "columns": ["tags"], "kind": "multilabel", "vocabulary": ["a", "b", "c"]},
    ]
    heads: dict[str | None, Any] = {"several": {}, "tags": {"n_classes": 3}}

    def made(name: str) -> list[Any]:
        scratch = Scratch(tmp_path / name)
        rows = columns.select_rows(table, 0.5, "train", ["kind"], scratch)
        features = columns.feature_values(table, asked, scratch)
        found = columns.label_values(table, labels, heads, rows, scratch)
        return [rows, features["size"], features["kind"].codes, *found.values()]

    expected = made("memory")
    monkeypatch.setattr(pieces, "CHUNK", 1)
    monkeypatch.setattr(pieces, "IN_MEMORY_BYTES", 0)
    for taken, wanted in zip(made("disk"), expected, strict=True):
        np.testing.assert_array_equal(taken, wanted)
        assert taken.dtype == wanted.dtype


def test_memory_is_a_budget_of_all_arrays_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "IN_MEMORY_BYTES", 40)
    scratch = Scratch(tmp_path)
    kinds = [isinstance(scratch.store([np.zeros(3)], 3, np.float64), np.memmap) for _ in range(2)]
    assert kinds == [False, True]  # 24 bytes each


def test_moments_leave_nulls_out(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_CHUNK", 2)
    # 1.5, 2.5, 5.0: mean 3, squares of the differences 2.25 + 0.25 + 4 = 6.5, divided by 3
    mean, stddev = statistics.mean_and_stddev(table.column("size"), None)
    assert (mean, stddev) == pytest.approx((3.0, (6.5 / 3) ** 0.5))
    assert statistics.mean_and_stddev(table.column("size"), np.array([0, 1])) == (1.5, 0.0)


def test_resolved_statistics_are_those_of_the_training_rows(table: Table, tmp_path: Path) -> None:
    rows = np.flatnonzero(table.split_mask(0.5, "train", slice(None)))
    mean, stddev = statistics.mean_and_stddev(table.column("n"), rows)
    column = {"type": "numeric_column", "key": "n", "normalizer": "zscore"}
    spec = {
        "estimator": {"type": "DNNClassifier", "args": {"hidden_units": [2], "feature_columns": [column]}},
        "features": [feature("n", "float32", "mean", None)],
        "labels": [],
        "weight": None,
        "data": {"train": {"missing": {}, "part": "train"}, "holdout": 0.5},
    }
    resolved = statistics.resolve(spec, table, Scratch(tmp_path / "scratch"))
    assert resolved["features"][0]["missing"]["value"] == mean
    made = resolved["estimator"]["args"]["feature_columns"][0]["normalizer"]
    assert made == {"mean": mean, "stddev": stddev or 1.0}
    assert column["normalizer"] == "zscore"
    statistics.write(resolved, tmp_path)
    assert statistics.read(spec, tmp_path) == resolved
    assert statistics.read(spec, tmp_path / "elsewhere") is None
