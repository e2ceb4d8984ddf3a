"""Row digests and the split that follows from them."""

from pathlib import Path

import numpy as np
import pytest

from app.datasets.row_hash import mix
from app.datasets.table import Table, open_dataset
from app.errors import InvalidInput
from tests.datasets.ingested import ingested
from tests.datasets.memory_table import write_table

ALL = slice(None)


def table(path: Path, columns: dict[str, object], **options: int) -> Table:
    write_table(path, columns, **options)
    return open_dataset(path)


def test_mix_is_the_finalizer_of_splitmix64() -> None:
    # The first two outputs of splitmix64 from seed 1234567, as its authors' program prints them.
    seeds = np.array([1234567, 1234567 + 0x9E3779B97F4A7C15], np.uint64)
    assert mix(seeds).tolist() == [6457827717110365317, 3203168211198807973]


def test_parts_are_a_partition_of_about_the_asked_share(tmp_path: Path) -> None:
    rows = table(tmp_path, {"x": list(range(10_000)), "s": [f"t{i % 7}" for i in range(10_000)]})
    train, holdout = rows.split_mask(0.2, "train", ALL), rows.split_mask(0.2, "holdout", ALL)
    assert (train.dtype, len(train)) == (np.bool_, 10_000)
    assert train.tolist() == (~holdout).tolist()
    # 2,000 expected, standard deviation sqrt(10000 * 0.2 * 0.8) = 40: five of them on either side.
    assert 1800 < holdout.sum() < 2200
    parts = [rows.split_mask(0.2, "holdout", slice(start, start + 3000)) for start in range(0, 10_000, 3000)]
    assert np.concatenate(parts).tolist() == holdout.tolist()
    fewer = rows.split_mask(0.1, "holdout", ALL)
    assert set(np.flatnonzero(fewer)) < set(np.flatnonzero(holdout))
    assert (rows.split_mask(0.0, "holdout", ALL).sum(), rows.split_mask(1.0, "train", ALL).sum()) == (0, 0)
    with pytest.raises(InvalidInput):
        rows.split_mask(1.5, "train", ALL)
    with pytest.raises(ValueError, match="part"):
        rows.split_mask(0.5, "test", ALL)


def test_split_stays_when_the_data_set_grows(tmp_path: Path) -> None:
    numbers, words = list(range(500)), [["a", "b"][i % 2] for i in range(500)]
    before = table(tmp_path / "1", {"x": numbers, "s": words})
    # New rows turn x to float32, bring a word and a column that is null in the old rows; columns change places.
    grown = {"new": [None] * 500 + [1, 2], "s": [*words, "c", None], "x": [*numbers, 0.5, None]}
    after = table(tmp_path / "2", grown, rows_per_chunk=77)
    assert before.row_digests.tolist() == after.row_digests[:500].tolist()
    held = before.split_mask(0.3, "holdout", ALL)
    assert held.any()
    assert held.tolist() == after.split_mask(0.3, "holdout", slice(0, 500)).tolist()


def test_equal_rows_go_to_the_same_side_and_different_ones_differ(tmp_path: Path) -> None:
    columns = {
        "x": [1.0, 1.0, -0.0, 0.0, None, None, None, None, None],
        "s": ["a", "a", None, None, "", None, None, None, None],
        "l": [[1, 2], [1, 2], None, [], None, [1, 2], [2, 1], [1], [1, 0]],
    }
    digests = table(tmp_path, columns).row_digests.tolist()
    assert digests[0] == digests[1]
    assert digests[2] == digests[3]
    assert len(set(digests)) == len(digests) - 2


def test_same_row_in_any_format_has_the_same_digest() -> None:
    with (
        ingested(b's,x,l\na,1.5,"[1,2]"\n', "x.csv") as (_, first),
        ingested(b'{"l": [1, 2], "x": 1.5, "s": "a"}', "x.jsonl") as (_, second),
    ):
        assert first.row_digests.tolist() == second.row_digests.tolist()
