"""From a stream to a plain file: formats by name and content, compression, bombs."""

import gzip
import tempfile
import time
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from app.datasets.ingest import ingest
from app.datasets.limits import Limits
from app.datasets.readers.decompress import file_format, open_source
from app.errors import InvalidInput, TooLarge, UnsupportedMedia
from tests.datasets.ingested import OneWay, ingested, rows_of

CSV = b"a,b\n1,x\n2,y\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", ("csv", None)),
        ("A.B.CSV.GZ", ("csv", "gzip")),
        ("../x/a.ndjson.zst", ("jsonl", "zstd")),
        ("a.parquet", ("parquet", None)),
        ("a.tfrecords", ("tfrecord", None)),
    ],
)
def test_format_follows_the_names_end(name: str, expected: tuple[str, str | None]) -> None:
    assert file_format(name) == expected


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pkl", "a.zip", "a", "", "csv", "a.gz", "a.csv.bz2", "a.csv/b"])
def test_other_names_are_unsupported(name: str) -> None:
    with pytest.raises(UnsupportedMedia):
        file_format(name)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (gzip.compress(CSV), "a.csv.gz"),
        (gzip.compress(CSV[:5]) + gzip.compress(CSV[5:]) + bytes(512), "a.csv.gz"),  # two members, padded
        (zstandard.compress(CSV), "a.csv.zst"),
        (zstandard.compress(CSV[:5]) + zstandard.compress(CSV[5:]), "a.csv.zst"),
    ],
)
def test_compressed_content_is_the_same_data_set(data: bytes, name: str) -> None:
    with ingested(CSV, "a.csv") as (plain, _), ingested(data, name) as (compressed, _):
        assert compressed == plain
        assert plain.bytes == len(CSV)


def test_stream_that_cannot_be_rewound_is_spooled(tmp_path: Path) -> None:
    with ingested(CSV, "a.csv") as (plain, _):
        assert ingest(OneWay(CSV), "a.csv", tmp_path, Limits()) == plain  # type: ignore[arg-type]
    with pytest.raises(TooLarge):
        ingest(OneWay(CSV), "a.csv", tmp_path, Limits(max_bytes=5))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (gzip.compress(CSV)[:-9], "a.csv.gz", "the gzip stream ends too early"),
        (gzip.compress(CSV)[:-8] + bytes(8), "a.csv.gz", "Byte 0: the gzip stream is damaged"),
        (zstandard.compress(CSV)[:-3], "a.csv.zst", "the zstd stream ends too early"),
        (CSV, "a.csv.gz", "Byte 0: the gzip stream is damaged"),
        (CSV, "a.csv.zst", "Byte 0: the zstd stream is damaged"),
        (b"", "a.csv.gz", "ends too early"),
        (gzip.compress(b""), "a.csv.gz", "The file is empty"),
        (b"", "a.csv", "The file is empty"),
    ],
)
def test_damaged_or_empty_content_is_refused(data: bytes, name: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught, ingested(data, name):
        pass
    assert message in caught.value.detail


def _gzip_bomb(megabytes: int) -> bytes:
    part = gzip.compress(bytes(1 << 20))
    return part * megabytes


@pytest.mark.parametrize(
    "data, name",
    [(_gzip_bomb(500), "a.csv.gz"), (zstandard.compress(bytes(500 << 20)), "a.csv.zst")],
    ids=["gzip", "zstd"],
)
def test_bomb_is_stopped_by_the_ratio_before_it_unfolds(data: bytes, name: str, tmp_path: Path) -> None:
    begun = time.process_time()
    with pytest.raises(TooLarge, match="inflates to more than 200 times"):
        rows_of(data, name)
    with pytest.raises(TooLarge, match="more than 3000000 bytes"):
        rows_of(data, name, limits=Limits(max_inflated_ratio=1e9, max_bytes=3_000_000))
    assert time.process_time() - begun < 2.0  # 500 MB would take longer


def test_spool_leaves_nothing_behind(tmp_path: Path) -> None:
    with open_source(OneWay(CSV), "csv", None, tmp_path, Limits()) as (file, size):  # type: ignore[arg-type]
        assert (file.read(), size) == (CSV, len(CSV))
        assert not list(tmp_path.iterdir())


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 80), st.integers(0, 255), st.sampled_from(["a.csv.gz", "a.csv.zst"]))
def test_any_changed_byte_is_read_or_refused(place: int, byte: int, name: str) -> None:
    data = bytearray(gzip.compress(CSV) if name.endswith("gz") else zstandard.compress(CSV))
    data[place % len(data)] = byte
    with tempfile.TemporaryDirectory() as directory:
        try:
            ingest(OneWay(bytes(data)), name, Path(directory), Limits())  # type: ignore[arg-type]
        except (InvalidInput, UnsupportedMedia) as error:
            assert error.detail
