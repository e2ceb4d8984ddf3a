"""Watching a job over Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import httpx

from app.api.event_feed import EventFeed
from tests.api.conftest import Api
from tests.http.raw import wait_until
from tests.repositories import attempts


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
        return [event.id async for event in feed.watch(job, 0, idle_s=5) if event]

    async def all_of_them() -> list[list[int]]:
        feed = Counted(api.service.database, poll_s=0.05)
        tasks = [asyncio.create_task(watch(feed)) for _ in range(50)]
        async with asyncio.timeout(10):
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
        wait_until(lambda: job in api.service.feed._topics)
    wait_until(lambda: not api.service.feed._topics)
