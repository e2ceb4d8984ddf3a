"""Promises of artifacts in an object store that a path need not make: manifests, the cache, and what an outage does."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app.errors import Conflict, InvalidInput, NotFound, Unavailable
from app.ids import new_id
from app.object_store.object_storage import ObjectStorage
from app.storage import Storage
from tests.object_store.stores import FaultProxy, Hosts
from tests.test_storage import fill
from tests.waiting import wait_for


def published(storage: Storage, key: str, content: str = "content") -> str:
    """Digest of a directory with one file."""
    fill(storage, key, {"file": content})
    storage.publish(key)
    return storage.digest(key)


def read(storage: Storage, key: str, digest: str | None = None) -> str:
    with storage.reading(key, digest) as path:
        return (path / "file").read_text()


@pytest.mark.parametrize("url", ["s3://", "s3:///", "ftp://x/y", "/path"])
def test_url_without_a_bucket_is_refused(url: str) -> None:
    from app.object_store.bucket import Bucket

    with pytest.raises(InvalidInput, match="ARTIFACTS_URL"):
        Bucket(url)


def test_nothing_is_there_before_its_manifest(hosts: Hosts, faults: FaultProxy) -> None:
    one, two = hosts.storage("one"), hosts.storage("two")
    fill(one, "datasets/x", {"file": "1"})
    one.mirror("datasets/x/file")  # as if the writer had died then
    with pytest.raises(NotFound):
        two.hold("datasets/x")
    assert two.keys("datasets") == ["datasets/x"]  # for the reconciler
    one.publish("datasets/x")
    puts = [path for method, path in faults.seen if method == "PUT"]
    assert puts[-1].endswith("/manifests/datasets/x")
    assert read(two, "datasets/x") == "1"


def test_what_was_published_is_never_replaced(hosts: Hosts) -> None:
    one, two = hosts.storage("one"), hosts.storage("two")
    published(one, "exports/x", "first")
    with pytest.raises(Conflict):
        published(two, "exports/x", "second")
    with pytest.raises(NotFound, match="no such artifact"):
        one.publish("exports/empty")


def test_publication_whose_answer_was_lost_is_ours(hosts: Hosts, faults: FaultProxy) -> None:
    faults.fault, faults.deaf_to = "deaf", "/manifests/"
    published(hosts.storage("one"), "exports/x")
    assert faults.requests("PUT", "/manifests/exports/x") == 2
    assert read(hosts.storage("two"), "exports/x") == "content"


def test_another_artifact_than_the_one_on_record_is_not_given(hosts: Hosts) -> None:
    one, two = hosts.storage("one"), hosts.storage("two")
    digest = published(one, "predictions/x", "first")
    assert read(two, "predictions/x", digest) == "first"
    one.remove("predictions/x")
    again = published(one, "predictions/x", "second")
    # the other host still has the first, and fetches what is on record now
    assert read(two, "predictions/x", again) == "second"
    with pytest.raises(NotFound, match="not the one on record"):
        two.hold("predictions/x", digest)


def test_damage_in_the_store_is_found_on_arrival(hosts: Hosts) -> None:
    one, two = hosts.storage("one"), hosts.storage("two")
    published(one, "exports/x", "content")
    one.path("exports/x/file").write_text("damaged")
    one.mirror("exports/x/file")
    with pytest.raises(NotFound, match="damaged"):
        two.hold("exports/x")
    assert not two.path("exports/x").exists()


def test_cache_without_a_good_manifest_is_not_trusted(hosts: Hosts) -> None:
    one, two = hosts.storage("one"), hosts.storage("two")
    published(one, "exports/x")
    assert read(two, "exports/x") == "content"
    two.path("exports/x/file").write_text("half")
    (hosts.directory / "two" / "have" / "exports" / "x").write_text("{")  # a host that lost its power
    assert read(two, "exports/x") == "content"


def test_second_read_asks_nobody(hosts: Hosts, faults: FaultProxy) -> None:
    one = hosts.storage("one")
    digest = published(one, "exports/x")
    faults.fault = "down"
    asked = len(faults.seen)
    assert read(one, "exports/x", digest) == "content"
    assert len(faults.seen) == asked


def test_readers_that_come_at_once_fetch_once(hosts: Hosts, faults: FaultProxy) -> None:
    published(hosts.storage("one"), "exports/x")
    # as many processes of one host would: each with a client of its own
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: read(hosts.storage("two"), "exports/x"), range(8)))
    assert found == ["content"] * 8
    assert faults.requests("GET", "/exports/x/file") == 1


def test_large_file_goes_in_parts_and_comes_back_whole(hosts: Hosts, faults: FaultProxy) -> None:
    one, two = hosts.storage("one"), hosts.storage("two")
    content = os.urandom(1 << 20) * 20 + b"end"
    fill(one, "exports/x", {})
    one.make("exports/x")
    one.path("exports/x/file").write_bytes(content)
    one.publish("exports/x")
    part = {"s3": "partNumber=", "az": "comp=block&"}[hosts.kind]
    assert faults.requests("PUT", part) == 3  # 8 MiB, 8 MiB, and the rest
    with two.reading("exports/x") as path:
        assert (path / "file").read_bytes() == content
    assert faults.requests("GET", "/exports/x/file") == 3


def test_signed_addresses_take_and_give_a_file(hosts: Hosts) -> None:
    one, upload, file = hosts.storage(), new_id("upl"), hosts.directory / "upload"
    headers = {"x-ms-blob-type": "BlockBlob"}  # Azure wants it
    sent = httpx.put(one.upload_address(upload, 60), content=b"content", headers=headers, trust_env=False)
    assert sent.is_success, sent.text
    assert one.take_upload(upload, file, 100) == hashlib.sha256(b"content").hexdigest()
    assert file.read_bytes() == b"content"
    digest = published(one, "exports/x")
    [signed] = one.signed("exports/x", digest, 60)
    assert httpx.get(signed.address, trust_env=False).content == b"content"


def test_least_recently_used_goes_but_nothing_in_use(hosts: Hosts) -> None:
    one = hosts.storage("one")
    for name in "abcd":
        published(one, f"datasets/{name}", name * 1000)
    two, also_two = (hosts.storage("two", budget=2500) for _ in range(2))  # two processes of a host
    lease = also_two.hold("datasets/a")
    for age, name in ((300, "a"), (200, "b")):
        read(two, f"datasets/{name}")
        used = time.time() - age
        os.utime(hosts.directory / "two" / "have" / "datasets" / name, (used, used))
    read(two, "datasets/c")

    def here() -> set[str]:
        return {path.name for path in two.path("datasets").iterdir()}

    assert here() == {"a", "c"}  # a is older than b, and in use
    lease.release()
    lease.release()
    read(two, "datasets/d")
    assert here() == {"c", "d"}
    assert read(two, "datasets/a") == "a" * 1000


def test_checkpoints_of_an_attempt_stay_while_it_is_written(hosts: Hosts) -> None:
    one = hosts.storage("one", budget=1000)
    lease = one.occupy("jobs/j/1")
    for step in (1, 2):
        fill(one, "jobs/j/1", {f"model.ckpt-{step}.index": "x" * 900})
        one.publish(f"jobs/j/1/model.ckpt-{step}")
    assert sorted(path.name for path in one.path("jobs/j/1").iterdir()) == ["model.ckpt-1.index", "model.ckpt-2.index"]
    lease.release()
    published(one, "datasets/x")
    assert not one.path("jobs/j/1").exists()
    with one.reading("jobs/j/1/model.ckpt-1") as prefix:
        assert prefix.with_name("model.ckpt-1.index").read_text() == "x" * 900


def test_leftovers_of_dead_processes_go_after_the_grace(hosts: Hosts) -> None:
    one = hosts.storage("one", grace_s=100)
    for key in ("datasets/old", "datasets/new", "jobs/j/1", "jobs/j/2"):
        fill(one, key, {"half": "1"})
    lease = one.occupy("jobs/j/2")
    long_ago = time.time() - 1000
    for path in map(one.path, ("datasets/old", "jobs/j/1", "jobs/j/2")):
        for each in (path / "half", path):
            os.utime(each, (long_ago, long_ago))
    published(one, "exports/x")
    left = [key for key in ("datasets/old", "datasets/new", "jobs/j/1", "jobs/j/2") if one.path(key).exists()]
    assert left == ["datasets/new", "jobs/j/2"]
    lease.release()


def test_store_that_overwrites_is_refused_with_a_sentence(hosts: Hosts, faults: FaultProxy) -> None:
    faults.fault = "overwrites"
    with pytest.raises(InvalidInput, match="If-None-Match"):
        hosts.storage().check()
    faults.mend()
    storage = hosts.storage()
    storage.check()
    assert storage.keys("probe") == []
    faults.fault = "down"
    with pytest.raises(Unavailable):
        hosts.storage(patience_s=0.2).check()


def test_bucket_that_is_not_there_is_told(hosts: Hosts) -> None:
    hosts.url = f"{hosts.kind}://nowhere/x"
    # some stores tell nobody which buckets there are
    with pytest.raises((InvalidInput, Unavailable), match=rf"no bucket {hosts.kind}://nowhere|refuses"):
        hosts.storage().check()


@pytest.mark.parametrize("fault", ["down", "500", "slow"])
def test_outage_is_unavailable_within_the_patience_and_then_over(hosts: Hosts, faults: FaultProxy, fault: str) -> None:
    one = hosts.storage("one", patience_s=0.3, request_s=0.3)
    two = hosts.storage("two", patience_s=0.3, request_s=0.3)
    published(hosts.storage("one"), "exports/x")
    fill(one, "exports/y", {"file": "later"})
    faults.fault, faults.delay_s = fault, 60.0
    uses: list[Callable[[], object]] = [
        lambda: one.publish("exports/y"),
        lambda: two.hold("exports/x"),
        lambda: two.keys("exports"),
        lambda: two.remove("exports/x"),
        lambda: two.read_end("exports/x/file", 10),
    ]
    for use in uses:
        with pytest.raises(Unavailable, match="does not answer"):
            use()
    assert read(one, "exports/x") == "content"  # what is here serves on
    faults.mend()
    one, two = hosts.storage("one"), hosts.storage("two")  # with the time that a busy machine takes
    one.publish("exports/y")
    assert (read(two, "exports/x"), read(two, "exports/y")) == ("content", "later")


def test_outage_that_ends_in_time_is_not_noticed(hosts: Hosts, faults: FaultProxy) -> None:
    one = hosts.storage("one", patience_s=60.0)
    faults.fault = "500"
    timer = threading.Thread(target=lambda: (wait_for(lambda: len(faults.seen) > 6), faults.mend()))
    timer.start()
    published(one, "exports/x")
    timer.join()
    assert isinstance(one, ObjectStorage)
    assert read(hosts.storage("two"), "exports/x") == "content"
