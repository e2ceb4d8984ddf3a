"""Watching a job over Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from app.api.event_feed import EventFeed
from tests.api.conftest import Api
from tests.repositories import attempts
from tests.waiting import wait_for


def parse(text: str) -> list[dict[str, Any]]:
    """Events of a stream; comments and retry hints left out."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append({"id": int(fields["id"]), "event": fields["event"], **json.loads(fields["data"])})
    return found


def run_job(api: Api, job: str, pause_s: float = 0.0) -> None:
    """What a worker does: claim, report, succeed."""
    with api.service.database.session() as session:
        assert attempts(session).claim(job, 0, "worker-1", 60)
    for step in (5, 10):
        time.sleep(pause_s)
        with api.service.database.session() as session:
            assert attempts(session).heartbeat(job, 1, 60, {"step": step, "loss": 0.5})
    with api.service.database.session() as session:
        assert attempts(session).succeed(job, 1, {})


def test_watcher_sees_every_state_to_the_end_as_it_happens(api: Api) -> None:
    job = api.submit()
    worker = threading.Thread(target=run_job, args=(api, job, 0.7))
    worker.start()

    answer = api.http.get(f"/v1/jobs/{job}/events")
    worker.join()

    assert answer.headers["content-type"].startswith("text/event-stream")
    events = parse(answer.text)
    assert [event["state"] for event in events if event["event"] == "state"] == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert [event["id"] for event in events] == sorted({event["id"] for event in events})
    assert 5 in [event["step"] for event in events if event["event"] == "progress"]


def test_watching_goes_on_after_the_last_event_id(api: Api) -> None:
    job = api.submit()
    run_job(api, job)
    everything = parse(api.http.get(f"/v1/jobs/{job}/events").text)

    rest = api.http.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": str(everything[0]["id"])})
    over = api.http.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": str(everything[-1]["id"])})

    assert parse(rest.text) == everything[1:]
    assert (over.status_code, over.text) == (204, "")
    assert parse(api.http.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": "junk"}).text) == everything


def test_many_watchers_cost_one_query_a_round(api: Api) -> None:
    job = api.submit()
    rounds = []

    class Counted(EventFeed):
        def _news(self, seen: dict[str, int]) -> Any:
            rounds.append(len(seen))
            return super()._news(seen)

    async def watch(feed: EventFeed) -> list[int]:
        watch = await feed.open(job, 0)
        try:
            return [event.id async for event in watch.events(idle_s=5) if event]
        finally:
            watch.close()

    async def all_of_them() -> list[list[int]]:
        feed = Counted(api.service.database, poll_s=0.05)
        tasks = [asyncio.create_task(watch(feed)) for _ in range(50)]
        async with asyncio.timeout(60):
            while job not in feed._topics or len(feed._topics[job].queues) < 50:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.to_thread(run_job, api, job)
        seen = await asyncio.gather(*tasks)
        await feed.stop()
        return seen

    seen = asyncio.run(all_of_them())

    assert len({tuple(ids) for ids in seen}) <= 2  # a watcher may catch a progress that the next one replaced
    assert all(ids[-1] == seen[0][-1] for ids in seen)
    assert set(rounds) == {1}


def test_a_watcher_that_leaves_is_forgotten(api: Api) -> None:
    job = api.submit()
    url = f"{api.http.base_url}/v1/jobs/{job}/events"
    with httpx.stream("GET", url, headers=api.http.headers, trust_env=False) as stream:
        received = stream.iter_bytes()  # kept: an iterator that is collected closes its connection
        next(received)  # it comes before the watcher is known
        wait_for(lambda: job in api.service.feed._topics)
    wait_for(lambda: not api.service.feed._topics)


def test_watchers_that_come_at_once_are_read_for_by_one_thread(api: Api) -> None:
    jobs = [api.submit() for _ in range(3)]
    under_way, most, reads = 0, 0, 0

    class Counted(EventFeed):
        def _records(self, keys: Any) -> Any:
            nonlocal under_way, most, reads
            under_way, reads = under_way + 1, reads + 1
            most = max(most, under_way)
            try:
                return super()._records(keys)
            finally:
                under_way -= 1

    async def all_of_them() -> None:
        feed = Counted(api.service.database, poll_s=60)
        watches = await asyncio.gather(*[feed.open(jobs[number % 3], 0) for number in range(200)])
        for watch in watches:
            events = watch.events(idle_s=5)
            first = await anext(events)
            assert first is not None and b'"state": "QUEUED"' in first.text
            await events.aclose()  # type: ignore[attr-defined]
            watch.close()
        await feed.stop()
        assert not feed._topics and not feed._open

    asyncio.run(all_of_them())

    assert most == 1
    assert reads <= 200 / 16 + 2  # sixteen begin at once, and what they want of one job is read once


def test_a_watcher_ahead_of_all_events_does_not_keep_them_from_others(api: Api) -> None:
    job = api.submit()

    async def both() -> list[bytes]:
        feed = EventFeed(api.service.database, poll_s=0.05)
        ahead, other = await feed.open(job, 2**63 - 1), await feed.open(job, 0)
        await asyncio.to_thread(run_job, api, job)
        async with asyncio.timeout(60):
            texts = [event.text async for event in other.events(idle_s=5) if event]
        ahead.close()
        other.close()
        await feed.stop()
        return texts

    assert b'"state": "SUCCEEDED"' in asyncio.run(both())[-1]


def test_a_token_has_so_many_streams_and_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.service.feed, "_most_per_token", 2)
    job = api.submit()
    path = f"/v1/jobs/{job}/events"
    other = api.http.post("/v1/tokens", json={"name": "other", "scopes": ["read"]}).json()["token"]
    with ExitStack() as open_streams:
        for _ in range(2):
            assert open_streams.enter_context(api.http.stream("GET", path)).status_code == 200
        refused = api.http.get(path)
        with api.http.stream("GET", path, headers={"Authorization": f"Bearer {other}"}) as stream:
            assert stream.status_code == 200  # it has its own
    wait_for(lambda: not api.service.feed._open)

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    assert api.http.get("/v1/jobs/job_01k9zv0q2m8x4t6b3c5d7e9f1g/events").status_code == 404
    assert not api.service.feed._open  # neither counts those that were refused
