"""Promises that a path and every object store keep: the same artifacts, seen from two hosts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import NotFound
from app.storage import Storage
from tests.object_store.stores import KINDS, Hosts
from tests.test_storage import fill

Host = Callable[[str], Storage]


@pytest.fixture(params=["path", *KINDS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def on(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Host:
    """The store as a host has it."""
    if kind == "path":
        return lambda host: Storage(tmp_path / "artifacts")
    hosts: Hosts = request.getfixturevalue("hosts")
    made: dict[str, Storage] = {}
    return lambda host: made.setdefault(host, hosts.storage(host))


def test_directory_is_the_same_on_another_host(on: Host) -> None:
    fill(on("one"), "exports/x", {"saved_model.pb": "graph", "variables/v.index": "1", "empty": ""})
    digest, size = on("one").digest("exports/x"), on("one").size("exports/x")
    on("one").publish("exports/x")
    with on("two").reading("exports/x", digest) as path:
        assert (path / "variables" / "v.index").read_text() == "1"
        assert (on("two").digest("exports/x"), on("two").size("exports/x")) == (digest, size)
        assert on("two").key(path) == "exports/x"


def test_checkpoint_and_file_are_published_alone(on: Host) -> None:
    one, two = on("one"), on("two")
    fill(one, "jobs/j/1", {f"model.ckpt-{step}.{part}": f"{step}" for step in (5, 50) for part in ("index", "data-0")})
    fill(one, "jobs/j/1", {"features.json": "{}"})
    for key in ("jobs/j/1/model.ckpt-5", "jobs/j/1/model.ckpt-50", "jobs/j/1/features.json"):
        one.publish(key)
    with two.reading("jobs/j/1/model.ckpt-5") as prefix:
        assert prefix.with_name("model.ckpt-5.index").read_text() == "5"
    with two.reading("jobs/j/1/features.json") as file:
        assert file.read_text() == "{}"
    two.remove_files("jobs/j/1/model.ckpt-5")
    two.remove_files("jobs/j/1/model.ckpt-5")
    assert on("three").names("jobs/j/1") == ["features.json", "model.ckpt-50.data-0", "model.ckpt-50.index"]
    with on("three").reading("jobs/j/1/model.ckpt-50") as prefix:
        assert prefix.with_name("model.ckpt-50.data-0").read_text() == "50"


def test_removed_is_gone_everywhere(on: Host) -> None:
    for key in ("jobs/j/1", "jobs/j/10", "datasets/x"):
        fill(on("one"), key, {"a": "1", "b/c": "2"})
        on("one").publish(key)
    for remove in (on("two").remove, on("two").discard):
        remove("jobs/j/1")
    assert [key for key, _ in on("one").found("jobs", 2)] == ["jobs/j/10"]
    assert on("three").keys("jobs/j") == ["jobs/j/10"]
    assert on("three").names("jobs/j/1") == []
    with pytest.raises(NotFound), on("three").reading("jobs/j/1") as path:
        on("three").size("jobs/j/1")
        assert path
    assert on("two").exists("datasets/x")
    assert not on("three").exists("jobs/j/1")


def test_age_counts_from_the_last_write(on: Host) -> None:
    before = time.time()
    fill(on("one"), "predictions/x", {"a": "1", "b/c": "2"})
    on("one").publish("predictions/x")
    [(key, changed)] = on("two").found("predictions")
    assert key == "predictions/x"
    # The store's clock counts whole seconds.
    assert before - 1 <= changed <= time.time() + 1
    assert on("two").quiet(key, changed + 100) == pytest.approx(100, abs=2)
    with pytest.raises(NotFound):
        on("two").quiet("predictions/y", before)


def test_file_that_grows_is_read_from_its_end(on: Host) -> None:
    key = "jobs/j/1/log.txt"
    assert on("two").read_end(key, 10) is None
    for text in ("first\n", "first\nsecond\n"):
        fill(on("one"), "jobs/j/1", {"log.txt": text})
        on("one").mirror(key)
    for host in ("one", "two"):
        assert on(host).read_end(key, 7) == b"second\n"
        assert on(host).read_end(key, 1000) == b"first\nsecond\n"


def test_spool_is_dropped_without_a_trace(on: Host) -> None:
    on("one").make("datasets/spool")
    fill(on("one"), "datasets/spool", {"upload": "1"})
    on("one").drop("datasets/spool")
    assert not on("one").exists("datasets/spool")
    assert on("one").keys("datasets") == []
