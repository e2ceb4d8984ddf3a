"""A burst of submits: every one is stored or told when to come again, and none is lost."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import Any

from sqlalchemy import Engine, text

from benchmarks.load_systems.api import Api, train_body

_CLIENTS = 16


def burst(api: Api, engine: Engine, submits: int) -> dict[str, Any]:
    """Sends `submits` jobs over 16 connections as fast as they go, then compares answers and rows."""
    body = json.dumps(train_body(api.dataset()))
    before = _jobs(engine)
    statuses: Counter[int] = Counter()
    accepted: list[str] = []
    without_hint = 0
    numbers = iter(range(submits))
    lock = threading.Lock()

    def send() -> None:
        nonlocal without_hint
        connection = api.connect()
        while True:
            with lock:
                if next(numbers, None) is None:
                    return
            connection.request("POST", "/v1/jobs", body, api.headers)
            answer = connection.getresponse()
            content = answer.read()
            with lock:
                statuses[answer.status] += 1
                without_hint += answer.status == 429 and not answer.getheader("Retry-After")
                if answer.status == 202:
                    accepted.append(json.loads(content)["id"])

    threads = [threading.Thread(target=send) for _ in range(_CLIENTS)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    stored = _jobs(engine) - before
    bare = bare_rate(engine, accepted[0])
    return {
        "submits": submits,
        "seconds": seconds,
        "answers": {str(status): count for status, count in sorted(statuses.items())},
        "stored": len(stored),
        "lost": len(set(accepted) - stored),
        "stored_untold": len(stored - set(accepted)),
        "429_without_retry_after": without_hint,
        "answers_per_s": submits / seconds,
        "bare_transactions_per_s": bare,
        "ratio": submits / seconds / bare,
    }


def _jobs(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(text("SELECT id FROM jobs")).scalars())


def bare_rate(engine: Engine, job_id: str, count: int = 500) -> float:
    """Transactions a second of one bare connection that stores what a submit stores, one after the other."""
    tables = {"jobs": "id", "job_links": "job_id", "job_events": "job_id", "outbox": "job_id", "audit": "target"}
    with engine.connect() as connection:
        rows = {}
        for table, column in tables.items():
            found = connection.execute(text(f"SELECT * FROM {table} WHERE {column} = :job LIMIT 1"), {"job": job_id})
            rows[table] = dict(found.mappings().one_or_none() or {})
    begin = time.perf_counter()
    for number in range(count):
        with engine.begin() as connection:
            for table, column in tables.items():
                values = {name: value for name, value in rows[table].items() if name != "id" or table == "jobs"}
                if not values:
                    continue
                values[column] = f"bare_{number}"
                as_text = {k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in values.items()}
                names = ", ".join(as_text)
                marks = ", ".join(f":{name}" for name in as_text)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), as_text)
    return count / (time.perf_counter() - begin)
