"""The quick way of reading a file against the careful one: the same columns, digests, warnings and errors."""

from __future__ import annotations

import dataclasses
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.datasets import ingest as ingestion
from app.datasets.limits import Limits
from app.datasets.readers import csv, tfrecord_frames
from app.errors import InvalidInput, ServiceError
from tests.datasets.test_tf_example_fast import feature, serialized
from tests.datasets.test_tfrecord import record


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of some kilobytes comes in several chunks."""
    monkeypatch.setattr(csv, "_BLOCK", 2000)
    monkeypatch.setattr(csv, "_HEAD_BYTES", 600)
    monkeypatch.setattr(tfrecord_frames, "_GROUP_RECORDS", 8)


class Ways:
    """Reads files in both ways and counts how often the quick one gave up."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory, self._patch, self._number = directory, monkeypatch, 0
        self.quick = self.careful = 0

    def compare(self, data: bytes, name: str, schema: dict[str, Any] | None = None) -> Any:
        """What came of the file: the data set's description, or the error."""
        readers, taken = ingestion._readers, 0

        def counted(*given: Any) -> Iterator[Any]:
            nonlocal taken
            for reader in readers(*given):
                taken += 1
                yield reader

        first = self._read(data, name, schema, counted)
        second = self._read(data, name, schema, lambda *given: list(readers(*given))[-1:])
        assert first == second, data
        self.quick, self.careful = self.quick + (taken == 1), self.careful + (taken == 2)
        return first[0]

    def _read(self, data: bytes, name: str, schema: Any, readers: Callable[..., Any]) -> tuple[Any, dict[str, bytes]]:
        self._number += 1
        directory = self._directory / str(self._number)
        directory.mkdir()
        limits = Limits(max_line_bytes=1500, max_rows=400, max_columns=30)
        made: Any
        with self._patch.context() as patch:
            patch.setattr(ingestion, "_readers", readers)
            try:
                made = dataclasses.asdict(ingestion.ingest(io.BytesIO(data), name, directory, limits, schema))
                for column in made["columns"]:  # the last row of a file may come in a chunk of its own or not
                    column |= {key: column[key] and float(f"{column[key]:.12g}") for key in ("mean", "stddev")}
            except ServiceError as error:
                places = error.errors if isinstance(error, InvalidInput) else None
                return (type(error), error.detail, places), {}
        return made, {path.name: path.read_bytes() for path in directory.glob("*.npy")}


@pytest.fixture
def ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ways:
    return Ways(tmp_path, monkeypatch)


CELLS: dict[str, Callable[[random.Random], str]] = {
    "integers": lambda r: str(r.randrange(-50, 3000)),
    "floats": lambda r: repr(r.uniform(-5, 5)),
    "small": lambda r: f"{r.choice('+-')}0.{r.randrange(99)}",
    "words": lambda r: r.choice(["red", "green", '"a ""b"", c"', "é", '"two\nlines"']),
    "names": lambda r: f"n{r.getrandbits(60)}",
    "booleans": lambda r: r.choice(["true", "False"]),
    "lists": lambda r: f'"[{r.randrange(9)}, {r.randrange(9)}]"',
    "empty": lambda r: r.choice(["", "NA"]),
    "few floats": lambda r: r.choice(["", "nan", "1.5", "-0.0", " 2", "1e-3"]),
    "money": lambda r: f"{r.uniform(0, 1e8):.2f}",
    "codes": lambda r: str(r.randrange(2**23, 2**60)),
    "dates": lambda r: f"2024-0{r.randrange(1, 9)}-1{r.randrange(9)}",
}
ODD = [
    " 7",
    "7 ",
    "007",
    "+08",
    "-07",
    " 09",
    '"05"',
    "1e3",
    "2.5",
    "+7",
    "+0x1",
    "0xF",
    "16777217",
    "16777217.0",
    "9223372036854775807",
    "9223372036854775808",
    "-",
    "n/k",
    "$5",
    "1,5",
    " NA",
]
ODD += [
    "nan",
    " nan",
    "NAN",
    "inf",
    "-0",
    "0x10",
    "true",
    "[1]",
    "[1, null]",
    '"[""a""]"',
    "1e999",
    "12%",
    "00:30",
    " ",
    "\u00a03",
    "word",
]
FAULTS = [b"1,2\n", b'"open', b"\0", b"\xff\n", b"\n\n", b"a" * 1600 + b"\n", b"\r\n", b"\r", b'x"y'] + [b""] * 12


def test_csv_files_of_all_kinds_are_the_same(ways: Ways) -> None:
    for seed in range(150):
        some = random.Random(seed)
        kinds = [some.choice(list(CELLS)) for _ in range(some.randrange(1, 6))]
        rows = [[CELLS[kind](some) for kind in kinds] for _ in range(some.randrange(1, 320))]
        for _ in range(some.choice([0, 0, 1, 3])):
            cell = some.choice(ODD)
            some.choice(rows)[some.randrange(len(kinds))] = f'"{cell}"' if "," in cell and '"' not in cell else cell
        end = some.choice(["\n", "\n", "\r\n", "\r"])
        lines = [(",".join(row) + end).encode() for row in rows]
        lines.insert(some.randrange(len(lines) + 1), some.choice(FAULTS))
        header = some.choice(["", "\ufeff"]) + ",".join(f"c{n}" for n in range(len(kinds))) + end
        schema = some.choice(
            [None] * 6 + [{"columns": {"c0": {"dtype": kind}}} for kind in ("int64", "float32", "string")]
        )
        data = header.encode() + b"".join(lines)
        ways.compare(data if seed % 5 else data.rstrip(b"\r\n"), "a.csv", schema)

    assert ways.quick > 40
    assert ways.careful > 40


@pytest.mark.parametrize(
    ("late", "warned"),
    [
        ("007", "begins with a zero"),
        ("-07", "begins with a zero"),
        ("0x7", "a text in"),
        ("7.5", ""),
        (" 7", ""),
        ("+7", ""),
    ],
)
def test_a_late_cell_makes_of_its_column_what_it_says(ways: Ways, late: str, warned: str) -> None:
    made = ways.compare(("code,n\n" + "12,1\n" * 390 + f"{late},1\n").encode(), "a.csv")

    assert warned in " ".join(made["warnings"])


def test_tfrecords_of_all_kinds_are_the_same(ways: Ways) -> None:
    def rows(some: random.Random) -> Iterator[bytes]:
        lists, names = some.randrange(2), ["a", "b", "s"][: some.randrange(1, 4)]
        odd = some.choice([None, "kind", "length", "name", "absent", "unpacked"])
        count = some.randrange(1, 90)
        place = some.randrange(count)
        for number in range(count):
            many, chosen, packed = 1 + lists * some.randrange(3), list(names), True
            values = [number * 1.5] * many
            kind = "float"
            if number == place:
                kind, values = ("int64", [5]) if odd == "kind" else (kind, values)
                values = values * 2 if odd == "length" else values
                packed = odd != "unpacked"
                chosen = [*chosen, "new"] if odd == "name" else chosen[1:] if odd == "absent" else chosen
            entries = [(one, feature(kind, values, packed)) for one in chosen if one != "s"]
            yield serialized(entries + [("s", feature("bytes", [b"t%d" % (number % 7)]))] * ("s" in chosen))

    for seed in range(80):
        some = random.Random(seed)
        data = bytearray(b"".join(map(record, rows(some))))
        if some.random() < 0.3:
            data[some.randrange(len(data))] ^= 1
        ways.compare(bytes(data), "a.tfrecord")

    assert ways.quick > 20
    assert ways.careful > 8
