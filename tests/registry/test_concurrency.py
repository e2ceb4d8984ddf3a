"""What must hold when many do the same at once; each in a transaction of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.errors import Conflict, InvalidInput
from app.registry.datasets import DatasetRepository
from app.registry.db import Database
from app.registry.events import EventRepository
from app.registry.idempotency import IdempotencyRepository
from app.registry.jobs.outbox import OutboxRepository
from app.registry.jobs.repository import JobRepository
from app.registry.leases import LeaseRepository
from app.registry.models import ModelRepository
from tests import databases
from tests.registry.conftest import due, make_claim, make_dataset, make_export, make_job, past_lease
from tests.repositories import attempts, reconcile

ROOT = Path(__file__).parent.parent.parent


def at_once(number: int, work: Callable[[int], Any]) -> list[Any]:
    """What each of `number` threads that start together got, errors too."""
    results: list[Any] = [None] * number
    barrier = threading.Barrier(number)

    def run(index: int) -> None:
        barrier.wait()
        try:
            results[index] = work(index)
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def new_job(database: Database, **changes: Any) -> str:
    with database.session() as session:
        return make_job(session, **changes).id


def test_one_of_fifty_claims_wins(database: Database) -> None:
    job_id = new_job(database)

    def claim(index: int) -> Any:
        with database.session() as session:
            return attempts(session).claim(job_id, 0, f"worker {index}", 60)

    claims = [claim for claim in at_once(50, claim) if claim is not None]
    assert [claim.attempt for claim in claims] == [1]
    with database.read() as session:
        assert len(JobRepository(session).attempts(job_id)) == 1


def test_claims_keep_to_the_cap_of_a_queue(database: Database) -> None:
    made = [new_job(database, queue="gpu") for _ in range(12)]

    def claim(index: int) -> Any:
        with database.session() as session:
            return attempts(session).claim(made[index], 0, "w", 60, queue_cap=3)

    assert sum(claim is not None for claim in at_once(12, claim)) == 3


def test_cancel_against_success_ends_in_one_of_both(database: Database) -> None:
    with database.session() as session:
        claims = [make_claim(session) for _ in range(10)]

    def act(index: int) -> Any:
        claim = claims[index // 2]
        with database.session() as session:
            jobs = JobRepository(session)
            if index % 2:
                return attempts(session).succeed(claim.job_id, 1, {})
            jobs.request_cancel(claim.job_id)
            return True

    for result in at_once(20, act):
        assert result is True or isinstance(result, Conflict)
    with database.read() as session:
        assert {JobRepository(session).get(claim.job_id).state for claim in claims} == {"SUCCEEDED"}


def test_lost_lease_is_found_by_one_reconciler(database: Database) -> None:
    with database.session() as session:
        late = [make_claim(session).job_id for _ in range(10)]
        for job_id in late:
            past_lease(session, job_id)

    def expire(index: int) -> list[str]:
        with database.session() as session:
            return reconcile(session).expire_leases()

    found = [job_id for result in at_once(8, expire) for job_id in result]
    assert sorted(found) == sorted(late)
    with database.read() as session:
        for job_id in late:
            assert len(OutboxRepository(session).for_job(job_id)) == 2  # one of its making, one of its return


def test_heartbeat_against_expiry_leaves_one_owner(database: Database) -> None:
    with database.session() as session:
        claims = [make_claim(session) for _ in range(10)]
        for claim in claims:
            past_lease(session, claim.job_id)

    def act(index: int) -> Any:
        with database.session() as session:
            if index == 0:
                return reconcile(session).expire_leases()
            return attempts(session).heartbeat(claims[index - 1].job_id, 1, 60)

    expired, *beats = at_once(11, act)
    for claim, beat in zip(claims, beats, strict=True):
        assert (beat is None) == (claim.job_id in expired)


def test_versions_made_at_once_have_different_numbers(database: Database) -> None:
    with database.session() as session:
        exports = [make_export(session) for _ in range(20)]

    def create(index: int) -> int:
        export = exports[index]
        with database.session() as session:
            models = ModelRepository(session)
            return models.create_version("m", export.id, export.job_id, {}, "STAGED", "latest").number

    assert sorted(at_once(20, create)) == list(range(1, 21))


def test_versions_made_by_processes_at_once_have_different_numbers(database: Database, database_url: str) -> None:
    with database.session() as session:
        exports = [make_export(session).id for _ in range(20)]
    code = (
        "import sys\n"
        "from app.config import Settings\n"
        "from app.registry.db import Database, make_engine\n"
        "from app.registry.models import ModelRepository\n"
        f"database = Database(make_engine(Settings(database_url={database_url!r})))\n"
        "sys.stdin.readline()\n"
        "for export in sys.argv[1:]:\n"
        "    with database.session() as session:\n"
        "        models = ModelRepository(session)\n"
        "        print(models.create_version('m', export, 'job', {}, 'STAGED', None).number)\n"
        "database.close()\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, *part], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for part in (exports[:10], exports[10:])
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    numbers = [int(line) for process in processes for line in process.communicate(timeout=500)[0].split()]
    assert sorted(numbers) == list(range(1, 21))


def test_versions_loaded_at_once_leave_the_label_at_the_newest(database: Database) -> None:
    with database.session() as session:
        for export in [make_export(session) for _ in range(10)]:
            ModelRepository(session).create_version("m", export.id, export.job_id, {}, "STAGED", "latest")

    def load(index: int) -> bool:
        with database.session() as session:
            return ModelRepository(session).version_loaded("m", index + 1)

    assert at_once(10, load) == [True] * 10
    with database.read() as session:
        assert ModelRepository(session).label("m", "latest").version == 10


def test_one_of_two_promotions_that_saw_the_same_wins(database: Database) -> None:
    with database.session() as session:
        models = ModelRepository(session)
        for export in [make_export(session) for _ in range(10)]:
            models.create_version("m", export.id, export.job_id, {}, "STORED", None)
        for number in range(1, 11):
            models.version_loaded("m", number)
        models.set_label("m", "live", 1)

    def promote(index: int) -> int:
        with database.session() as session:
            return ModelRepository(session).set_label("m", "live", index + 1, expected_revision=1).version

    results = at_once(10, promote)
    winners = [result for result in results if isinstance(result, int)]
    assert len(winners) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 9
    with database.read() as session:
        assert ModelRepository(session).label("m", "live").version == winners[0]


def test_one_of_fifty_requests_with_a_key_goes_on(database: Database) -> None:
    def request(index: int) -> Any:
        with database.session() as session:
            keys = IdempotencyRepository(session)
            answer = keys.begin("tok", "key", "digest", ttl_s=60)
            if answer is None:
                job = make_job(session)
                keys.finish("tok", "key", 202, {}, {"id": job.id})
                return job.id
            assert answer.body is not None
            return answer.body["id"]

    assert len(set(at_once(50, request))) == 1
    with database.read() as session:
        assert JobRepository(session).count_queued() == 1


def test_one_of_many_holds_a_lease(database: Database) -> None:
    def take(index: int) -> bool:
        with database.session() as session:
            return LeaseRepository(session).take("reconciler", f"holder {index}", 60)

    assert sorted(at_once(20, take)) == [False] * 19 + [True]


def test_same_upload_at_once_is_one_row(database: Database) -> None:
    def add(index: int) -> str:
        with database.session() as session:
            return make_dataset(session, digest="sha256:same").id

    assert len(set(at_once(20, add))) == 1


def test_data_set_is_not_deleted_under_a_new_job(database: Database) -> None:
    for _ in range(5):
        with database.session() as session:
            data = make_dataset(session).id

        def act(index: int, data: str = data) -> str:
            with database.session() as session:
                if index:
                    return DatasetRepository(session).delete(data)
                return make_job(session, spec={"data": {"train": {"dataset": data}}}).id

        made, deleted = at_once(2, act)
        assert isinstance(made, str) != isinstance(deleted, str), (made, deleted)


def test_watcher_that_remembers_the_last_id_misses_no_event(database: Database) -> None:
    with database.session() as session:
        claim = make_claim(session)
    writers, each = 6, 15
    done = threading.Event()
    seen: list[int] = []

    def watch() -> None:
        last = 0
        while True:
            ended = done.is_set()
            with database.read() as session:
                events = EventRepository(session).after(claim.job_id, last)
            seen.extend(event.id for event in events)
            last = seen[-1] if seen else 0
            if ended:
                return
            time.sleep(0.001)

    def write(index: int) -> None:
        for number in range(each):
            with database.session() as session:
                EventRepository(session).add(claim.job_id, "warning", {"writer": index, "number": number})
                time.sleep(0.002)  # commits come in another order than ids, if nothing prevents it

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert at_once(writers, write) == [None] * writers
    done.set()
    watcher.join()
    with database.read() as session:
        everything = [event.id for event in EventRepository(session).after(claim.job_id)]
    assert len(everything) == writers * each + 2  # and the moves to QUEUED and RUNNING
    assert seen == everything


@pytest.mark.parametrize("database_url", databases.kinds()[1:], indirect=True)
def test_frozen_worker_does_not_hold_up_the_reconciler(database: Database) -> None:
    with database.session() as session:
        frozen, other = make_claim(session), make_claim(session)
        past_lease(session, frozen.job_id)
        past_lease(session, other.job_id)
    with database.session() as paused:
        attempts(paused).heartbeat(frozen.job_id, 1, 60)  # holds the row, and does not commit
        with database.session() as session:
            assert reconcile(session).expire_leases() == [other.job_id]


def test_burst_of_submits_and_claims_loses_none(database: Database) -> None:
    def submit(index: int) -> list[str]:
        return [new_job(database) for _ in range(5)]

    made = [job_id for result in at_once(20, submit) for job_id in result]

    def claim_all(index: int) -> list[str]:
        won = []
        for job_id in made:
            with database.session() as session:
                if attempts(session).claim(job_id, 0, f"w{index}", 60):
                    won.append(job_id)
        return won

    won = [job_id for result in at_once(4, claim_all) for job_id in result]
    assert sorted(won) == sorted(made)


def test_key_used_for_two_requests_at_once_serves_one(database: Database) -> None:
    def request(index: int) -> Any:
        with database.session() as session:
            return IdempotencyRepository(session).begin("tok", "key", f"digest {index % 2}", ttl_s=60)

    results = at_once(10, request)
    assert results.count(None) == 1
    assert {type(result) for result in results if result is not None} == {Conflict, InvalidInput}


def test_retry_at_once_queues_once(database: Database) -> None:
    with database.session() as session:
        claim = make_claim(session)
        attempts(session).fail(claim.job_id, 1, "nan_loss", "x")

    def retry(index: int) -> str:
        with database.session() as session:
            return JobRepository(session).retry(claim.job_id).state

    results = at_once(10, retry)
    assert results.count("QUEUED") == 1
    with database.session() as session:
        due(session, claim.job_id)
        assert attempts(session).claim(claim.job_id, 1, "w", 60) is not None
