"""Events of jobs for many watchers. One query per round covers all watched jobs; an event is read and encoded once,
whatever the number of its watchers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.errors import Unavailable
from app.jobs.state import ENDED
from app.promotion import Promotions
from app.registry.db import Database
from app.registry.events import EventRepository
from app.registry.jobs.repository import JobRepository
from app.registry.tables import JobEvent

_AT_ONCE = 500  # jobs in one query; SQLite takes a limited number of parameters
_WAITING = 1_000  # events that a slow watcher may be behind


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """One event as it goes over the wire."""

    id: int
    text: bytes
    ends: bool


@dataclass
class _Topic:
    """A job that somebody watches."""

    last_id: int
    queues: set[asyncio.Queue[EncodedEvent]] = field(default_factory=set)


class EventFeed:
    """Shared subscription of all event watchers to the registry: one query per round, whatever the number of watchers.

    Args:
        promotions: holds the end of a job until its version answers.
        poll_s: how often the registry is asked, while anybody watches.
    """

    def __init__(self, database: Database, promotions: Promotions | None = None, *, poll_s: float = 0.5) -> None:
        self._database = database
        self._promotions = promotions or Promotions()
        self._poll_s = poll_s
        self._topics: dict[str, _Topic] = {}
        self._poller: asyncio.Task[None] | None = None

    async def watch(self, job_id: str, after: int, *, idle_s: float) -> AsyncIterator[EncodedEvent | None]:
        """Events with ids above `after`, then new ones as they come, to the end of the job. None: nothing came for
        `idle_s` seconds. Ends too when the watcher falls far behind: it comes back with its last id."""
        queue: asyncio.Queue[EncodedEvent] = asyncio.Queue(_WAITING)
        topic = self._topics.setdefault(job_id, _Topic(after))
        topic.queues.add(queue)
        try:
            events, ended = await asyncio.to_thread(self._history, job_id, after)
            for event in events:
                after = event.id
                yield event
            if ended or (events and events[-1].ends):
                return
            self._start()
            while not queue.full():
                try:
                    event = await asyncio.wait_for(queue.get(), idle_s)
                except TimeoutError:
                    yield None
                    continue
                if event.id > after:
                    after = event.id
                    yield event
                    if event.ends:
                        return
        finally:
            topic.queues.discard(queue)
            if not topic.queues and self._topics.get(job_id) is topic:
                del self._topics[job_id]

    async def stop(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller
            self._poller = None

    def _start(self) -> None:
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        while self._topics:
            seen = {job_id: topic.last_id for job_id, topic in self._topics.items()}
            try:
                news = await asyncio.to_thread(self._news, seen)
            except Unavailable:
                news = {}
            for job_id, events in news.items():
                self._publish(job_id, events)
            await asyncio.sleep(self._poll_s)

    def _publish(self, job_id: str, events: list[EncodedEvent]) -> None:
        topic = self._topics.get(job_id)
        if topic is None:
            return
        topic.last_id = events[-1].id
        for queue in topic.queues:
            for event in events:
                if not queue.full():
                    queue.put_nowait(event)

    def _news(self, seen: dict[str, int]) -> dict[str, list[EncodedEvent]]:
        news = {}
        jobs = sorted(seen)
        with self._database.read() as session:
            for start in range(0, len(jobs), _AT_ONCE):
                events = EventRepository(session)
                for job_id, last_id in events.last_ids(jobs[start : start + _AT_ONCE]).items():
                    if last_id > seen[job_id]:
                        encoded = self._encoded(session, job_id, events.after(job_id, seen[job_id]))
                        if encoded:
                            news[job_id] = encoded
        return news

    def _history(self, job_id: str, after: int) -> tuple[list[EncodedEvent], bool]:
        """What is on record, and whether the job has ended."""
        with self._database.read() as session:
            rows = _all_after(session, job_id, after)
            events = self._encoded(session, job_id, rows)
            return events, len(events) == len(rows) and JobRepository(session).get(job_id).state in ENDED

    def _encoded(self, session: Session, job_id: str, rows: list[JobEvent]) -> list[EncodedEvent]:
        """The events as text, up to the end of the job, which waits until the version that it promoted answers."""
        events = _encoded(rows)
        last = next((index for index, event in enumerate(events) if event.ends), None)
        return events[:last] if last is not None and self._promotions.held(session, job_id) else events


def _all_after(session: Session, job_id: str, after: int) -> list[JobEvent]:
    events = EventRepository(session)
    found: list[JobEvent] = []
    while page := events.after(job_id, found[-1].id if found else after):
        found += page
    return found


def _encoded(rows: list[JobEvent]) -> list[EncodedEvent]:
    return [EncodedEvent(row.id, _text(row), row.kind == "state" and row.data.get("state") in ENDED) for row in rows]


def _text(row: JobEvent) -> bytes:
    data = json.dumps({**row.data, "at": row.at})  # ASCII, one line: nothing in it can end the event
    return f"id: {row.id}\nevent: {row.kind}\ndata: {data}\n\n".encode()
