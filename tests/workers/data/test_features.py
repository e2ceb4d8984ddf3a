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
from app.jobs.spec import Feature, LabelSpec, Missing, TrainSpec
from tests.specs import job_spec
from tf_estimator.inputs import Dictionary, Sequence
from workers.data import chunks, features, statistics
from workers.data.chunks import ArraySpill

CSV = 'kind,size,n,tags\nrose,1.5,1,"[""a"", ""b""]"\n,,2,"[]"\ndaisy,2.5,,"[""c""]"\nrose,5.0,4,"[""a""]"\n'


@pytest.fixture
def table(tmp_path: Path) -> Table:
    directory = tmp_path / "data"
    directory.mkdir()
    ingest(io.BytesIO(CSV.encode()), "x.csv", directory, Limits())
    return open_dataset(directory)


@pytest.fixture
def spill(tmp_path: Path) -> ArraySpill:
    return ArraySpill(tmp_path / "scratch")


def feature(name: str, dtype: Any, policy: Any, value: Any, sequence: bool = False) -> Feature:
    missing = Missing(policy=policy, value=value)
    return Feature(
        name=name, dtype=dtype, shape=(), sequence=sequence, missing=missing, vocabulary=None, min=None, max=None
    )


def label(*columns: str, kind: Any, head: str | None = None, vocabulary: tuple[str, ...] | None = None) -> LabelSpec:
    return LabelSpec(head=head, columns=columns, kind=kind, vocabulary=vocabulary)


def test_missing_numbers_are_filled(table: Table, spill: ArraySpill) -> None:
    asked = [feature("size", "float32", "mean", 3.0), feature("n", "int64", "constant", -1)]
    values = features.feature_values(table, asked, spill)
    np.testing.assert_array_equal(values["size"], np.array([1.5, 3.0, 2.5, 5.0], np.float32))
    np.testing.assert_array_equal(values["n"], np.array([1, 2, -1, 4]))
    assert (values["size"].dtype, values["n"].dtype) == (np.float32, np.int64)


def test_missing_string_is_a_category_of_its_own(table: Table, spill: ArraySpill) -> None:
    values = features.feature_values(table, [feature("kind", "string", "category", "(missing)")], spill)["kind"]
    assert isinstance(values, Dictionary)
    assert [values.vocabulary[code] for code in values.codes] == [b"rose", b"(missing)", b"daisy", b"rose"]


def test_sequences_keep_their_lists(table: Table, spill: ArraySpill) -> None:
    values = features.feature_values(table, [feature("tags", "string", "empty", (), sequence=True)], spill)["tags"]
    assert isinstance(values, Sequence)
    assert values.row_splits.tolist() == [0, 2, 2, 3, 4]


def test_column_that_the_data_lack_is_missing_in_each_row(table: Table, spill: ArraySpill) -> None:
    asked = [feature("new", "float32", "constant", 7.0), feature("word", "string", "category", "(missing)")]
    values = features.feature_values(table, asked, spill)
    assert values["new"].tolist() == [7.0] * 4
    assert values["word"].vocabulary.tolist() == [b"(missing)"]


def test_policy_error_names_the_row(table: Table, spill: ArraySpill) -> None:
    with pytest.raises(InvalidInput, match="'size' has no value in row 2"):
        features.feature_values(table, [feature("size", "float32", "error", None)], spill)


def test_rows_without_a_needed_value_are_dropped(table: Table, spill: ArraySpill) -> None:
    assert features.select_rows(table, None, "all", [], spill) is None
    assert features.select_rows(table, None, "all", ["kind", "n"], spill).tolist() == [0, 3]
    parts = [features.select_rows(table, 0.5, part, [], spill) for part in ("train", "holdout")]
    assert sorted(np.concatenate(parts).tolist()) == [0, 1, 2, 3]
    assert all(rows.dtype == np.int64 and np.all(np.diff(rows) > 0) for rows in parts)


def test_no_row_left_is_told(tmp_path: Path) -> None:
    directory = tmp_path / "one"
    directory.mkdir()
    ingest(io.BytesIO(b"a,b\n1,\n2,\n3,1\n"), "x.csv", directory, Limits())
    one = open_dataset(directory)
    part = "train" if one.split_mask(0.5, "holdout", slice(2, 3)).item() else "holdout"
    with pytest.raises(InvalidInput, match="No row is left"):
        features.select_rows(one, 0.5, part, ["b"], ArraySpill(tmp_path / "scratch"))


def test_labels_are_checked_in_the_chosen_rows_only(table: Table, spill: ArraySpill) -> None:
    kinds = label("kind", kind="class", vocabulary=("rose",))
    rows = np.array([0, 3])
    assert isinstance(features.label_values(table, [kinds], {None: {}}, rows, spill), Dictionary)
    with pytest.raises(InvalidInput, match="not in label_vocabulary in row 3"):
        features.label_values(table, [kinds], {None: {}}, np.array([0, 2, 3]), spill)
    with pytest.raises(InvalidInput, match="no value in row 2"):
        features.label_values(table, [kinds], {None: {}}, None, spill)


def test_class_numbers_must_be_under_n_classes(table: Table, spill: ArraySpill) -> None:
    numbers = label("n", kind="class")
    with pytest.raises(InvalidInput, match="outside 0 to 2 in row 4"):
        features.label_values(table, [numbers], {None: {"n_classes": 3}}, np.array([0, 1, 3]), spill)


def test_lists_of_classes_become_many_hot(table: Table, spill: ArraySpill) -> None:
    tags = label("tags", kind="multilabel", vocabulary=("a", "b", "c"))
    hot = features.label_values(table, [tags], {None: {"n_classes": 3}}, None, spill)
    assert hot.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]


def test_several_number_columns_stand_side_by_side(table: Table, spill: ArraySpill) -> None:
    sizes = label("size", "size", kind="number", head="h")
    values = features.label_values(table, [sizes], {"h": {}}, np.array([0, 2, 3]), spill)
    assert values["h"].shape == (4, 2)


def test_big_columns_are_filled_on_disk(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "IN_MEMORY_BYTES", 8)
    spill = ArraySpill(tmp_path / "scratch")
    values = features.feature_values(table, [feature("size", "float32", "mean", 3.0)], spill)["size"]
    assert isinstance(values, np.memmap)
    assert values.tolist() == [1.5, 3.0, 2.5, 5.0]
    assert list((tmp_path / "scratch").glob("*.npy"))


def test_what_is_made_is_the_same_in_memory_and_on_disk_and_in_chunks(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [feature("size", "float32", "mean", 3.0), feature("kind", "string", "category", "(missing)")]
    labels = [
        label("size", "size", kind="number", head="several"),
        label("tags", kind="multilabel", head="tags", vocabulary=("a", "b", "c")),
    ]
    heads: dict[str | None, Any] = {"several": {}, "tags": {"n_classes": 3}}

    def made(name: str) -> list[Any]:
        spill = ArraySpill(tmp_path / name)
        rows = features.select_rows(table, 0.5, "train", ["kind"], spill)
        values = features.feature_values(table, asked, spill)
        found = features.label_values(table, labels, heads, rows, spill)
        return [rows, values["size"], values["kind"].codes, *found.values()]

    expected = made("memory")
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 1)
    monkeypatch.setattr(chunks, "IN_MEMORY_BYTES", 0)
    for taken, wanted in zip(made("disk"), expected, strict=True):
        np.testing.assert_array_equal(taken, wanted)
        assert taken.dtype == wanted.dtype


def test_memory_is_a_budget_of_all_arrays_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "IN_MEMORY_BYTES", 40)
    spill = ArraySpill(tmp_path)
    kinds = [isinstance(spill.store([np.zeros(3)], 3, np.float64), np.memmap) for _ in range(2)]
    assert kinds == [False, True]  # 24 bytes each


def test_moments_leave_nulls_out(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_CHUNK_ROWS", 2)
    # 1.5, 2.5, 5.0: mean 3, squares of the differences 2.25 + 0.25 + 4 = 6.5, divided by 3
    mean, stddev = statistics.mean_and_stddev(table.column("size"), None)
    assert (mean, stddev) == pytest.approx((3.0, (6.5 / 3) ** 0.5))
    assert statistics.mean_and_stddev(table.column("size"), np.array([0, 1])) == (1.5, 0.0)


def test_resolved_statistics_are_those_of_the_training_rows(table: Table, tmp_path: Path) -> None:
    rows = np.flatnonzero(table.split_mask(0.5, "train", slice(None)))
    mean, stddev = statistics.mean_and_stddev(table.column("n"), rows)
    column = {"type": "numeric_column", "key": "n", "normalizer": "zscore"}
    spec = job_spec(
        estimator={"args": {"feature_columns": [column]}},
        features=[feature("n", "float32", "mean", None).model_dump(mode="json")],
        labels=[],
        data={"train": {"part": "train"}, "eval": None, "holdout": 0.5},
    )
    assert isinstance(spec, TrainSpec)
    resolved = statistics.resolve(spec, table, ArraySpill(tmp_path / "scratch"))
    assert resolved.features[0].missing.value == mean
    made = resolved.estimator.args["feature_columns"][0]["normalizer"]
    assert made == {"mean": mean, "stddev": stddev or 1.0}
    assert column["normalizer"] == "zscore"
    statistics.write(resolved, tmp_path)
    assert statistics.read(spec, tmp_path) == resolved
    assert statistics.read(spec, tmp_path / "elsewhere") is None
