from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from app.errors import InvalidInput, NotFound
from app.ids import new_id
from app.storage import Storage


def fill(storage: Storage, key: str, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = storage.path(key) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_keys_are_made_of_identifiers(storage: Storage) -> None:
    job, data, export = new_id("job"), new_id("ds"), new_id("exp")
    assert storage.dataset_key(data) == f"datasets/{data}"
    assert storage.attempt_key(job, 3) == f"jobs/{job}/3"
    assert storage.export_key(export) == f"exports/{export}"
    assert storage.prediction_key(job) == f"predictions/{job}"


@pytest.mark.parametrize("identifier", ["", "..", "ds_../../x", "DS_1", "job_" + "0" * 26, "ds_" + "0" * 25 + "/"])
def test_key_of_anything_else_is_refused(storage: Storage, identifier: str) -> None:
    with pytest.raises(InvalidInput):
        storage.dataset_key(identifier)


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "..", "a/../b", "a//b", "a/", "./a", "a\\..\\b", "a/\0", "%2e%2e/a", ".hidden", "a/ü", "-x"],
)
def test_path_of_a_foreign_key_is_refused(storage: Storage, key: str) -> None:
    with pytest.raises(InvalidInput):
        storage.path(key)


def test_path_is_under_the_root(storage: Storage) -> None:
    assert storage.path("jobs/x/1/model.ckpt-5") == storage.root / "jobs" / "x" / "1" / "model.ckpt-5"


def test_path_through_a_link_is_refused(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (storage.root / "exports").symlink_to(tmp_path / "outside")
    for use in (storage.path, storage.make, storage.remove, storage.digest, storage.size, storage.keys):
        with pytest.raises(InvalidInput):
            use("exports/x")
    assert (tmp_path / "outside").exists()


def test_root_may_itself_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    storage = Storage(tmp_path / "link")
    assert storage.path("exports/x") == tmp_path / "real" / "exports" / "x"
    assert storage.key(tmp_path / "link" / "exports" / "x") == "exports/x"


def test_key_of_a_path_is_the_way_back(storage: Storage, tmp_path: Path) -> None:
    assert storage.key(storage.path("jobs/x/1") / "model.ckpt-5") == "jobs/x/1/model.ckpt-5"
    for outside in (tmp_path, storage.root / ".." / "x", storage.root):
        with pytest.raises(InvalidInput):
            storage.key(outside)


@pytest.mark.parametrize("root", ["", "s4://bucket/x", "http://host/x"])
def test_root_must_be_a_path(root: str) -> None:
    with pytest.raises(InvalidInput, match="ARTIFACTS_URL"):
        Storage(root)


def test_root_may_be_a_file_url(tmp_path: Path) -> None:
    assert Storage(f"file://{tmp_path}/artifacts").root == tmp_path / "artifacts"


def test_make_makes_a_directory_once(storage: Storage) -> None:
    assert not storage.exists("exports/x")
    assert storage.make("exports/x").is_dir()
    assert storage.exists("exports/x")
    with pytest.raises(FileExistsError):
        storage.make("exports/x")


def test_remove_takes_directories_files_and_nothing(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    fill(storage, "exports/x", {"a/b": "1"})
    (storage.path("exports/x") / "link").symlink_to(tmp_path / "kept")
    storage.remove("exports/x")
    storage.remove("exports/x")
    fill(storage, "exports", {"file": "1"})
    storage.remove("exports/file")
    assert list((storage.root / "exports").iterdir()) == []
    assert (tmp_path / "kept").read_text() == "kept"


def test_size_is_the_sum_of_the_files(storage: Storage) -> None:
    fill(storage, "exports/x", {"a": "12345", "b/c": "123"})
    assert storage.size("exports/x") == 5 + 3
    assert storage.size("exports/x/a") == 5
    with pytest.raises(NotFound):
        storage.size("exports/y")


def test_digest_is_of_names_and_contents(storage: Storage) -> None:
    fill(storage, "exports/x", {"b": "2", "a/c": "1"})
    # for each file by name: length of the name (8 bytes), the name, the SHA-256 of its content
    expected = hashlib.sha256()
    for name, content in (("a/c", "1"), ("b", "2")):
        expected.update(len(name).to_bytes(8, "big") + name.encode() + hashlib.sha256(content.encode()).digest())
    assert storage.digest("exports/x") == f"sha256:{expected.hexdigest()}"


def test_digest_does_not_depend_on_place_time_or_order(storage: Storage) -> None:
    fill(storage, "exports/x", {"a": "1", "b/c": "2"})
    fill(storage, "exports/y", {"b/c": "2", "a": "1"})
    os.utime(storage.path("exports/y/a"), (0, 0))
    assert storage.digest("exports/x") == storage.digest("exports/y")


@pytest.mark.parametrize("files", [{"a": "1", "b": "3"}, {"a": "1", "c": "2"}, {"a": "1"}, {"a": "12", "b": ""}, {}])
def test_digest_tells_different_directories_apart(storage: Storage, files: dict[str, str]) -> None:
    fill(storage, "exports/x", {"a": "1", "b": "2"})
    storage.make("exports/y")
    fill(storage, "exports/y", files)
    assert storage.digest("exports/x") != storage.digest("exports/y")


@pytest.mark.parametrize("directory", [False, True])
def test_digest_refuses_links(storage: Storage, tmp_path: Path, directory: bool) -> None:
    fill(storage, "exports/x", {"a": "1"})
    (storage.path("exports/x") / "link").symlink_to(tmp_path if directory else tmp_path / "file")
    with pytest.raises(InvalidInput):
        storage.digest("exports/x")


def test_keys_lists_what_is_directly_under(storage: Storage) -> None:
    fill(storage, "jobs/b/1", {"log.txt": ""})
    fill(storage, "jobs/a/2", {"log.txt": ""})
    (storage.root / "jobs" / ".half").mkdir()
    (storage.root / "jobs" / "link").symlink_to(storage.root)
    assert storage.keys("jobs") == ["jobs/a", "jobs/b"]
    assert storage.keys("jobs/a") == ["jobs/a/2"]
    assert storage.keys("exports") == []


def test_keys_finishes_a_removal_that_was_cut_off(storage: Storage) -> None:
    left = storage.root / "jobs" / ".removing-x-00"
    left.mkdir(parents=True)
    (left / "file").write_text("1")
    assert storage.keys("jobs") == []
    assert not left.exists()


def test_found_has_the_last_change_directly_in_each(storage: Storage) -> None:
    fill(storage, "jobs/b/1", {"a": "1"})
    fill(storage, "jobs/a/2", {"a": "1"})
    now = time.time()
    os.utime(storage.path("jobs/a/2"), (now - 100, now - 100))
    os.utime(storage.path("jobs/b/1"), (now - 200, now - 200))
    assert dict(storage.found("jobs", 2)) == {
        "jobs/a/2": pytest.approx(now - 100),
        "jobs/b/1": pytest.approx(now - 200),
    }
    assert [key for key, _ in storage.found("jobs")] == ["jobs/a", "jobs/b"]
    assert list(storage.found("exports")) == []


def test_quiet_is_since_the_last_change_at_any_depth(storage: Storage) -> None:
    fill(storage, "exports/x", {"a": "1", "b/c": "2"})
    now = time.time()
    for path, age in (("", 100), ("a", 90), ("b", 80), ("b/c", 70)):
        os.utime(storage.path("exports/x") / path, (now - age, now - age))
    assert storage.quiet("exports/x", now) == pytest.approx(70)
    with pytest.raises(NotFound):
        storage.quiet("exports/y", now)
