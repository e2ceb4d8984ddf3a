"""What many watchers of one job's events cost the API process."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from app.registry.db import Database
from app.registry.jobs.attempts import AttemptRepository
from benchmarks.load_systems.api import Api, train_body


def watch(api: Api, database: Database, count: int, seconds: float) -> dict[str, Any]:
    """`count` event streams of a job that tells its progress each second; shares of one core, by the process' clock."""
    connection = api.connect()
    connection.request("POST", "/v1/jobs", json.dumps(train_body(api.dataset())), api.headers)
    job_id = json.loads(connection.getresponse().read())["id"]
    with database.session() as session:
        assert AttemptRepository(session, retry_backoff_s=2.0).claim(job_id, 0, "bench", 3600.0)
    idle = asyncio.run(_observe(api, database, job_id, 0, seconds))
    busy = asyncio.run(_observe(api, database, job_id, count, seconds))
    return {
        "watchers": count,
        "seconds": seconds,
        "idle_core": idle["core"],
        "watched_core": busy["core"],
        "watchers_core": busy["core"] - idle["core"],
        "events_each": busy["events"] / count,
    }


async def _observe(api: Api, database: Database, job_id: str, count: int, seconds: float) -> dict[str, float]:
    streams = [await asyncio.open_connection("127.0.0.1", api.port) for _ in range(count)]
    request = f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {api.token}\r\n\r\n"
    for _, writer in streams:
        writer.write(request.encode())
    seen = 0

    async def read(reader: asyncio.StreamReader) -> None:
        nonlocal seen
        while line := await reader.readline():
            seen += line.startswith(b"id:")

    tasks = [asyncio.create_task(read(reader)) for reader, _ in streams]
    await _progress(database, job_id, 3.0)  # the connections are made, the first events told
    before, cpu, begin = seen, api.cpu_seconds(), time.monotonic()
    await _progress(database, job_id, seconds)
    taken = time.monotonic() - begin
    used = api.cpu_seconds() - cpu
    for task in tasks:
        task.cancel()
    for _, writer in streams:
        writer.close()
    return {"core": used / taken, "events": float(seen - before)}


async def _progress(database: Database, job_id: str, seconds: float) -> None:
    """A heartbeat each second, as a worker sends them."""

    def beat(step: int) -> None:
        with database.session() as session:
            AttemptRepository(session, retry_backoff_s=2.0).heartbeat(job_id, 1, 3600.0, {"step": step, "loss": 0.5})

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.to_thread(beat, int(time.monotonic()))
        await asyncio.sleep(1.0)
