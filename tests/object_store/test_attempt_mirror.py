"""Logs and event files of a running attempt reach the object store, and nothing else of its directory does."""

from __future__ import annotations

from tests.object_store.stores import FaultProxy, Hosts
from tests.test_storage import fill
from tests.waiting import wait_for
from workers.attempt.attempt_mirror import AttemptMirror

KEY = "jobs/j/1"


def test_log_and_events_are_sent_while_they_grow_and_at_the_end(hosts: Hosts, faults: FaultProxy) -> None:
    one, two = hosts.storage("one", patience_s=0.1), hosts.storage("two")
    fill(one, KEY, {"log.txt": "begun\n", "eval_test/events.out.tfevents.1": "x", "features.json": "{}"})
    fill(one, KEY, {"model.ckpt-5.index": "x", "checkpoint": "x", "scratch/big": "x", "log.tmp-1": "x", ".half": "x"})
    with AttemptMirror(one, KEY, every_s=0.02):
        wait_for(lambda: two.read_end(f"{KEY}/log.txt", 100) == b"begun\n")
        faults.fault = "down"
        fill(one, KEY, {"log.txt": "begun\nmore\n"})
        asked = len(faults.seen)
        wait_for(lambda: len(faults.seen) > asked)
        faults.mend()
        wait_for(lambda: two.read_end(f"{KEY}/log.txt", 100) == b"begun\nmore\n")
        fill(one, KEY, {"log.txt": "begun\nmore\nended\n"})
    assert two.read_end(f"{KEY}/log.txt", 100) == b"begun\nmore\nended\n"
    assert [found.path for found in two._bucket.list(KEY)] == [
        f"{KEY}/eval_test/events.out.tfevents.1",
        f"{KEY}/log.txt",
    ]
