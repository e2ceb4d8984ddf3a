"""The faults. Each does its harm at once and returns True, or returns False when there is nothing to harm now."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import redis

from scripts.chaos_parts.artifact_stores import PathStore, S3Store
from scripts.chaos_parts.backends import Backend, PostgresqlRedis
from scripts.chaos_parts.service import SETTINGS, Service

_PAUSE_S = 1.6 * float(SETTINGS["LEASE_S"])


@dataclass
class Ground:
    """What the faults are done to."""

    service: Service
    backend: Backend
    random: random.Random
    store: PathStore
    seen: list[tuple[bytes, bytes]] = field(default_factory=list)  # list of the broker, message
    pauses: list[threading.Thread] = field(default_factory=list)

    def remember_messages(self) -> None:
        """Keeps copies of waiting messages, to be delivered again later."""
        try:
            for name in _lists(self.backend.broker()):
                for message in self.backend.broker().lrange(name, 0, 20):
                    if (name, message) not in self.seen:
                        self.seen.append((name, message))
        except redis.RedisError:
            pass


def _lists(client: redis.Redis) -> list[bytes]:
    """The broker's lists of waiting messages: one for each queue and priority."""
    return sorted(key for key in client.scan_iter("default*", _type="list"))


def _kill_one(ground: Ground, kind: str) -> bool:
    found = ground.service.processes(kind)
    if not found:
        return False
    try:
        ground.random.choice(found).kill()
    except psutil.NoSuchProcess:
        return False
    return True


def kill_broker(ground: Ground) -> bool:
    return ground.backend.kill_broker(ground.service.processes("broker"))


def drop_message(ground: Ground) -> bool:
    """A message that waits is gone, as when a worker dies with it in its hands."""
    client = ground.backend.broker()
    lists = _lists(client)
    return bool(lists) and client.rpop(ground.random.choice(lists)) is not None


def double_message(ground: Ground) -> bool:
    """A message comes twice more: one that waits, or an old one whose attempt has long ended."""
    client = ground.backend.broker()
    ground.remember_messages()
    if not ground.seen:
        return False
    name, message = ground.random.choice(ground.seen)
    client.lpush(name, message, message)
    return True


def flush_broker(ground: Ground) -> bool:
    return bool(ground.backend.broker().flushall())


def pause_worker(ground: Ground) -> bool:
    """A worker, its child and its trainer stand still until the lease is long over, then go on as if nothing were."""
    ground.pauses = [thread for thread in ground.pauses if thread.is_alive()]
    workers = ground.service.processes("worker")
    if not workers or ground.pauses:
        return False
    try:
        family = ground.service.family_of(ground.random.choice(workers))
    except psutil.NoSuchProcess:
        return False
    if len(family) < 3:
        return False

    def pause() -> None:
        for number, process in [(signal.SIGSTOP, p) for p in family] + [(signal.SIGCONT, p) for p in reversed(family)]:
            if number == signal.SIGCONT and process is family[-1]:
                time.sleep(_PAUSE_S)
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                pass

    ground.pauses.append(threading.Thread(target=pause, name="pause"))
    ground.pauses[-1].start()
    return True


def _strike_store(kind: str) -> Callable[[Ground], bool]:
    return lambda ground: ground.store.strike(kind, ground.random)


def cut_connections(ground: Ground) -> bool:
    return isinstance(ground.backend, PostgresqlRedis) and ground.backend.cut_connections() > 0


FAULTS: dict[str, Callable[[Ground], bool]] = {
    "trainer_killed": lambda ground: _kill_one(ground, "trainer"),
    "child_killed": lambda ground: _kill_one(ground, "child"),
    "worker_killed": lambda ground: _kill_one(ground, "worker"),
    "worker_paused": pause_worker,
    "api_killed": lambda ground: _kill_one(ground, "api"),
    "fork_server_killed": lambda ground: _kill_one(ground, "fork-server"),
    "lane_killed": lambda ground: _kill_one(ground, "lane"),
    "reconciler_killed": lambda ground: _kill_one(ground, "reconciler"),
    "broker_killed": kill_broker,
    "broker_flushed": flush_broker,
    "message_dropped": drop_message,
    "message_doubled": double_message,
    "connections_cut": cut_connections,
} | {kind: _strike_store(kind) for kind in S3Store.faults}
HEAVY = {"trainer_killed", "child_killed", "worker_killed", "worker_paused"}
"""They cost an attempt. Mostly done when an attempt has made a step, or no job would ever get on."""


def kinds_for(backend: Backend, store: PathStore) -> list[str]:
    missing = set(S3Store.faults) - set(store.faults)
    if not isinstance(backend, PostgresqlRedis):
        missing.add("connections_cut")
    return [kind for kind in FAULTS if kind not in missing]


def plan(kinds: list[str], jobs: int, draw: random.Random) -> list[str]:
    """Three faults a job or more, each kind five times or more (with few jobs in proportion, at least once). The last
    comes first: a message is dropped while the first jobs wait, for later there may be none that waits."""
    least = min(5, max(1, jobs // 10))
    planned = [kind for kind in kinds for _ in range(least)]
    planned += draw.choices(kinds, k=max(0, 3 * jobs - len(planned)))
    draw.shuffle(planned)
    if "message_dropped" in planned:
        planned.remove("message_dropped")
        planned.append("message_dropped")
    return planned


def strike(ground: Ground, kind: str) -> bool:
    """Does one fault; a broker or process that is just being restarted is nothing to harm."""
    try:
        return FAULTS[kind](ground)
    except (redis.RedisError, psutil.Error):
        return False
