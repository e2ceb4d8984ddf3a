"""Events of jobs for many watchers. One query per round covers all watched jobs; an event is read and encoded once,
whatever the number of its watchers. What is on record already is read for all new watchers by one thread at a time, so
that hundreds that come at once take no worker thread from others."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.errors import NotFound, Overloaded, Unavailable
from app.jobs.state import ENDED
from app.promotion import Promotions
from app.registry.db import Database
from app.registry.events import EventRepository
from app.registry.jobs.repository import JobRepository
from app.registry.tables import JobEvent

_AT_ONCE = 500  # jobs in one query; SQLite takes a limited number of parameters
_WAITING = 1_000  # events that a slow watcher may be behind
_STARTS = 16  # watchers that begin at once: their records are one read, and their responses one turn of the event loop
_COME_BACK_S = 5.0


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """One event as it goes over the wire."""

    id: int
    text: bytes
    ends: bool


@dataclass(frozen=True, slots=True)
class _Record:
    """What is on record of a job after an event: the events, the id of the last one that is known by them, and whether
    the job has ended."""

    events: list[EncodedEvent]
    newest: int
    ended: bool


@dataclass
class _Topic:
    """A job that somebody watches. `last_id`: of the last event that was told; None until the record was read."""

    last_id: int | None = None
    queues: set[asyncio.Queue[EncodedEvent]] = field(default_factory=set)


class Watch:
    """One watcher of a job, which counts for its token until it is closed."""

    def __init__(self, feed: EventFeed, job_id: str, after: int, token_id: str) -> None:
        self._feed, self.job_id, self._after, self.token_id = feed, job_id, after, token_id
        self.queue: asyncio.Queue[EncodedEvent] = asyncio.Queue(_WAITING)
        self._record = _Record([], after, ended=False)

    async def begin(self) -> None:
        """Raises NotFound and Unavailable."""
        self._record = await self._feed.record(self.job_id, self._after)

    @property
    def over(self) -> bool:
        """The job has ended, and nothing came after the event that the watcher knows."""
        return self._record.ended and not self._record.events

    async def events(self, *, idle_s: float) -> AsyncIterator[EncodedEvent | None]:
        """Events on record, then new ones as they come, to the end of the job. None: nothing came for `idle_s` seconds.
        Ends too when the watcher falls far behind: it comes back with its last id."""
        known, after = self._record, self._after
        for event in known.events:
            after = event.id
            yield event
        if known.ended or (known.events and known.events[-1].ends):
            return
        while not self.queue.full():
            try:
                event = await asyncio.wait_for(self.queue.get(), idle_s)
            except TimeoutError:
                yield None
                continue
            if event.id > after:
                after = event.id
                yield event
                if event.ends:
                    return

    def close(self) -> None:
        self._feed.close(self)


class EventFeed:
    """Shared subscription of all event watchers to the registry: one query per round, whatever the number of watchers.

    Args:
        promotions: holds the end of a job until its version answers.
        poll_s: how often the registry is asked, while anybody watches.
        most_per_token: watchers that one token may have at once; 0: any number.
    """

    def __init__(
        self,
        database: Database,
        promotions: Promotions | None = None,
        *,
        poll_s: float = 0.5,
        most_per_token: int = 0,
    ) -> None:
        self._database = database
        self._promotions = promotions or Promotions()
        self._poll_s = poll_s
        self._most_per_token = most_per_token
        self._topics: dict[str, _Topic] = {}
        self._open: Counter[str] = Counter()
        self._poller: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._wanted: dict[tuple[str, int], asyncio.Future[_Record | Exception]] = {}
        self._starts = asyncio.Semaphore(_STARTS)

    async def open(self, job_id: str, after: int, *, token_id: str = "") -> Watch:
        """A watcher of events with ids above `after`; to be closed. Raises NotFound, Overloaded and Unavailable."""
        if self._most_per_token and self._open[token_id] >= self._most_per_token:
            raise Overloaded(
                f"This token has {self._most_per_token} event streams open already. Close some, or ask for the job.",
                retry_after_s=_COME_BACK_S,
            )
        self._open[token_id] += 1
        watch = Watch(self, job_id, after, token_id)
        self._topics.setdefault(job_id, _Topic()).queues.add(watch.queue)  # before the read, so that it misses nothing
        try:
            async with self._starts:
                await watch.begin()
        except BaseException:
            watch.close()
            raise
        return watch

    def close(self, watch: Watch) -> None:
        topic = self._topics.get(watch.job_id)
        if topic is None or watch.queue not in topic.queues:
            return  # it is closed already
        topic.queues.discard(watch.queue)
        if not topic.queues:
            del self._topics[watch.job_id]
        self._open[watch.token_id] -= 1
        if not self._open[watch.token_id]:
            del self._open[watch.token_id]

    async def record(self, job_id: str, after: int) -> _Record:
        """Of a job that is watched, read after this call began. Raises NotFound and Unavailable."""
        key = (job_id, after)
        if key not in self._wanted:  # else somebody waits for the same read, which has not begun
            self._wanted[key] = asyncio.get_running_loop().create_future()
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read_records())
        found = await asyncio.shield(self._wanted[key])
        if isinstance(found, Exception):
            raise found
        self._start()
        return found

    async def stop(self) -> None:
        for task in (self._poller, self._reader):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._poller = self._reader = None

    def _start(self) -> None:
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())

    async def _read_records(self) -> None:
        while self._wanted:
            batch, self._wanted = self._wanted, {}
            found: Sequence[_Record | Exception]
            try:
                found = await asyncio.to_thread(self._records, list(batch))
            except Exception as error:
                found = [error] * len(batch)
            for ((job_id, _), waiter), record in zip(batch.items(), found, strict=True):
                topic = self._topics.get(job_id)
                if topic is not None and topic.last_id is None and isinstance(record, _Record) and not record.ended:
                    topic.last_id = record.newest  # reads follow each other: who reads later knows as much at least
                waiter.set_result(record)

    async def _poll(self) -> None:
        while self._topics:
            seen = {job_id: topic.last_id for job_id, topic in self._topics.items() if topic.last_id is not None}
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

    def _records(self, keys: list[tuple[str, int]]) -> list[_Record | Exception]:
        found: list[_Record | Exception] = []
        with self._database.read() as session:
            for job_id, after in keys:
                try:
                    found.append(self._record(session, job_id, after))
                except NotFound as error:
                    found.append(error)
        return found

    def _record(self, session: Session, job_id: str, after: int) -> _Record:
        has_ended = JobRepository(session).get(job_id).state in ENDED
        rows = _all_after(session, job_id, after)
        events = self._encoded(session, job_id, rows)
        if events:
            newest = events[-1].id
        elif rows:
            newest = rows[0].id - 1  # the job's end, which is held back
        else:
            newest = EventRepository(session).last_id(job_id)
        return _Record(events, newest, ended=has_ended and len(events) == len(rows))

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
