"""Columns with more strings than a dictionary may hold."""

import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from app.datasets.table import StringColumn, open_dataset
from app.datasets.text_words import LONGEST, crc32s, hashes, text_words
from app.datasets.writers import strings as string_writer
from app.datasets.writers.column_statistics import NumberStatistics
from app.datasets.writers.memory_budget import MemoryBudget
from app.datasets.writers.strings import StringWriter, binary_parts
from tests.datasets.memory_table import write_table


@pytest.fixture
def small_dictionaries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryBudget.__init__, "__defaults__", (64 * 2**20, 3))


@pytest.mark.usefixtures("small_dictionaries")
def test_too_many_strings_are_stored_one_by_one(tmp_path: Path) -> None:
    words = ["a", None, "bb", "a", "ccc", "", "d", None, "bb"]
    lists = [["a", "b"], [], None, ["c", "d", "e"], ["a"], [], [], [], ["f"]]
    write_table(tmp_path, {"s": words, "few": ["x", "y", None] * 3, "l": lists}, rows_per_chunk=2)
    table = open_dataset(tmp_path)
    column = table.column("s")
    assert isinstance(column, StringColumn)
    assert column.codes is None
    assert column.take(np.array([4, 1, 2])).tolist() == [b"ccc", b"", b"bb"]
    assert column.take(slice(0, 2)).tolist() == [b"a", b""]
    assert column.is_null(slice(None)).tolist() == [word is None for word in words]
    assert table.info("s")["distinct"] is table.info("s")["vocabulary"] is None
    few = table.column("few")
    assert isinstance(few, StringColumn)
    assert few.codes is not None
    assert [row["s"] for row in table.preview(9)] == words
    assert [row["l"] for row in table.preview(9)] == [items or [] for items in lists]


@pytest.mark.usefixtures("small_dictionaries")
def test_digests_do_not_depend_on_how_strings_are_stored(tmp_path: Path) -> None:
    words = ["a", "b", None, "c", "d", "a"]
    write_table(tmp_path / "1", {"s": words}, rows_per_chunk=1)
    write_table(tmp_path / "2", {"s": words[:3]})
    plain, coded = open_dataset(tmp_path / "1"), open_dataset(tmp_path / "2")
    assert plain.row_digests[:3].tolist() == coded.row_digests.tolist()


def test_digests_of_names_are_the_same_once_nobody_looks_for_equal_ones(tmp_path: Path) -> None:
    cells = pa.array([*(b"n%d" % number for number in range(600)), None, b"n7", b"", b"n7"], pa.large_binary())
    often, once = (StringWriter(name, tmp_path / name, MemoryBudget(total=500)) for name in "01")

    digests = [often.write(cells.slice(start, 200)) for start in range(0, len(cells), 200)]
    assert np.concatenate(digests)[cells.is_valid()].tolist() == once.write(cells)[cells.is_valid()].tolist()

    assert often.close() == once.close()
    for kind in ("bytes", "offsets", "nulls"):
        assert (tmp_path / f"0.{kind}.npy").read_bytes() == (tmp_path / f"1.{kind}.npy").read_bytes()


_NAMES = [b"name %d" % number for number in range(600)]


@pytest.mark.parametrize("entries", [1000, 500])
@pytest.mark.parametrize("odd", [b"another", b"name 7", b"name 448", None, b"", b"of more than 64 bytes: " + b"x" * 50])
def test_names_are_stored_as_any_texts(tmp_path: Path, odd: bytes | None, entries: int) -> None:
    # Of pieces of 100 rows each is looked up; of pieces of 200 nobody looks for equal names before the end.
    cells = pa.array([*_NAMES[:450], odd, *_NAMES[450:]], pa.large_binary())
    infos, digests = [], []
    for name, rows in (("0", 100), ("1", 200)):
        writer = StringWriter(name, tmp_path / name, MemoryBudget(dictionary_entries=entries))
        found = [writer.write(cells.slice(start, rows)) for start in range(0, len(cells), rows)]
        digests.append(np.concatenate(found)[cells.is_valid()].tolist())
        infos.append((writer.storage, writer.close()))
    assert infos[0] == infos[1]
    assert infos[0][0] == ("dictionary" if entries == 1000 else "plain")
    assert digests[0] == digests[1]
    one, other = ({file.name[1:]: file.read_bytes() for file in tmp_path.glob(f"{name}.*")} for name in "01")
    assert one == other


def test_names_that_come_twice_give_back_what_the_second_would_take(tmp_path: Path) -> None:
    # 200 names of 8 bytes take 200 * 158 = 31,600 bytes of the budget; 100 numbers take 10,000.
    names = pa.array(_NAMES[100:300], pa.large_binary())
    budget = MemoryBudget(total=70_000)
    text, numbers = StringWriter("0", tmp_path / "0", budget), NumberStatistics(budget)
    text.write(names)
    text.write(names)
    assert budget.left == 70_000 - 2 * 31_600
    numbers.add(np.arange(100))
    assert budget.left == 70_000 - 31_600 - 10_000
    assert (text.close()["distinct"], numbers.info()["distinct"]) == (200, 100)


def test_checksums_of_many_texts_are_those_of_each() -> None:
    chosen = np.random.default_rng(5)
    texts = [chosen.bytes(length) for length in [*range(LONGEST + 1)] * 3]
    offsets, data = binary_parts(pa.array(texts, pa.large_binary()))
    words = text_words(offsets, data)
    assert words is not None
    assert crc32s(words, np.diff(offsets)).tolist() == list(map(zlib.crc32, texts))
    assert len(set(hashes(words, np.diff(offsets)).tolist())) == len(set(texts))
    assert text_words(*binary_parts(pa.array([b"", bytes(LONGEST + 1)], pa.large_binary()))) is None


def test_all_columns_share_one_budget(tmp_path: Path) -> None:
    # Each new string costs 150 bytes and its own: two fit into 400, a third does not.
    assert string_writer._BYTES_AN_ENTRY == 150
    budget = MemoryBudget(total=400)
    first, second = (StringWriter(name, tmp_path / name, budget) for name in ("0", "1"))
    first.write(pa.array([b"a", b"b", b"a"], pa.large_binary()))
    second.write(pa.array([b"c"], pa.large_binary()))
    assert (first.storage, second.storage) == ("dictionary", "plain")
    assert budget.left == 400 - 2 * 151


def test_vocabulary_ends_at_a_thousand(tmp_path: Path) -> None:
    write_table(tmp_path, {"s": [f"{i:04}" for i in range(1001)], "t": ["x"] * 2 + [f"{i:03}" for i in range(999)]})
    table = open_dataset(tmp_path)
    assert (table.info("s")["vocabulary"], table.info("s")["distinct"]) == (None, 1001)
    assert table.info("t")["distinct"] == 1000
    assert table.info("t")["vocabulary"][:2] == ["x", "000"]
