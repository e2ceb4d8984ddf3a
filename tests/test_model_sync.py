"""The registry's word reaches serving, and what came of it reaches the registry."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.errors import Unavailable
from app.jobs.state import VersionState
from app.model_sync import ModelSync
from app.registry.db import Database
from app.registry.models import ModelRepository
from app.serving.wanted_version import WantedVersion
from app.storage import Storage
from tests.fakes import ManualClock
from tests.published_models import publish


class FakeService:
    """Remembers what it was told to serve; a test tells what came of it."""

    def __init__(self) -> None:
        self.wanted: list[WantedVersion] = []
        self.on_loaded: Callable[[str, int], None] = lambda model, number: None
        self.on_failed: Callable[[str, int, str], None] = lambda model, number, reason: None
        self.look_again: Callable[[], Coroutine[Any, Any, None]] | None = None

    def sync(self, wanted: Sequence[WantedVersion]) -> None:
        self.wanted = list(wanted)


Scenario = Callable[[ModelSync, FakeService], Coroutine[Any, Any, None]]


def run(database: Database, storage: Storage, test: Scenario, clock: Callable[[], float] = time.monotonic) -> None:
    async def go() -> None:
        service = FakeService()
        await test(ModelSync(database, storage, service, poll_s=0.02, clock=clock), service)  # type: ignore[arg-type]

    asyncio.run(go())


def test_staged_version_is_handed_over_loaded_and_takes_its_label(database: Database, storage: Storage) -> None:
    number = publish(database, storage)

    async def test(live: ModelSync, service: FakeService) -> None:
        await live.refresh()
        [version] = service.wanted
        assert (version.model, version.number, version.staged, version.labels) == ("m", number, True, ())
        assert version.path == str(storage.path("exports") / Path(version.path).name)
        assert version.digest.startswith("sha256:")
        service.on_loaded("m", number)
        await live.refresh()
        [version] = service.wanted
        assert (version.staged, version.labels) == (False, ("latest",))

    run(database, storage, test)


def test_failed_version_is_written_back_and_not_asked_for_again(database: Database, storage: Storage) -> None:
    number = publish(database, storage)

    async def test(live: ModelSync, service: FakeService) -> None:
        await live.refresh()
        service.on_failed("m", number, "ReadFile is not allowed")
        await live.refresh()
        assert service.wanted == []
        with database.read() as session:
            version = ModelRepository(session).version("m", number)
            assert (version.state, version.reason) == (VersionState.FAILED, "ReadFile is not allowed")

    run(database, storage, test)


def test_former_version_stays_wanted_as_previous_and_older_ones_unlabelled(
    database: Database, storage: Storage
) -> None:
    async def test(live: ModelSync, service: FakeService) -> None:
        for _ in range(3):
            number = publish(database, storage)
            await live.refresh()
            service.on_loaded("m", number)
        live._all_read = 0.0
        await live.refresh()
        told = {version.number: (version.labels, version.previous) for version in service.wanted}
        assert told == {1: ((), False), 2: ((), True), 3: (("latest",), False)}

    run(database, storage, test)


def test_outcome_survives_an_outage_of_the_database(
    database: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = publish(database, storage)

    async def test(live: ModelSync, service: FakeService) -> None:
        await live.refresh()
        service.on_loaded("m", number)

        def away() -> Any:
            raise Unavailable("The database does not answer.")

        with monkeypatch.context() as patch:
            patch.setattr(database, "session", away)
            with pytest.raises(Unavailable):
                await live.refresh()
        await live.refresh()
        assert service.wanted[0].labels == ("latest",)

    run(database, storage, test)


def test_loop_follows_by_itself(database: Database, storage: Storage) -> None:
    async def test(live: ModelSync, service: FakeService) -> None:
        await live.start()
        number = publish(database, storage)
        async with asyncio.timeout(60):
            while not service.wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            service.on_loaded("m", number)
            while not service.wanted[0].labels:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await live.stop()

    run(database, storage, test)
    shutil.rmtree(storage.path("exports"))


def test_a_request_for_an_unknown_model_looks_again_before_it_is_refused(database: Database, storage: Storage) -> None:
    async def test(live: ModelSync, service: FakeService) -> None:
        await live.refresh()
        publish(database, storage)
        before = live._looks

        await asyncio.gather(*(live.look_again() for _ in range(20)))

        assert [version.number for version in service.wanted] == [1]
        assert live._looks - before <= 4  # the twenty shared one; the others are the loop's own

    run(database, storage, test)


def test_registry_is_read_when_something_changed_and_not_before(database: Database, storage: Storage) -> None:
    clock = ManualClock()

    async def look(live: ModelSync, service: FakeService) -> None:
        reads = 0
        exchange = live._exchange

        def counted(outcomes: Any) -> Any:
            nonlocal reads
            reads += 1
            return exchange(outcomes)

        live._exchange = counted  # type: ignore[method-assign]
        pauses = 0
        pause = live._pause

        async def paused() -> None:
            nonlocal pauses
            pauses += 1
            await pause()

        live._pause = paused  # type: ignore[method-assign]

        async def polls(count: int) -> None:
            wanted = pauses + count
            while pauses < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        await live.start()
        await polls(3)
        clock.advance(10.0)  # a look at all versions is due after two seconds
        await polls(3)
        before = reads
        clock.advance(10.0)
        await polls(20)
        if database.engine.dialect.name == "sqlite":
            assert reads == before
        number = await asyncio.to_thread(publish, database, storage)
        async with asyncio.timeout(60):
            while [version.number for version in service.wanted] != [number]:  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.02)
        await live.stop()

    run(database, storage, look, clock)
