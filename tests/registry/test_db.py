from __future__ import annotations

import math
import threading
import time

import pytest
from sqlalchemy import create_engine, select, text

from app.config import Settings
from app.errors import NotFound, Unavailable
from app.registry.audit import AuditRepository
from app.registry.db import Database, make_engine, migrate, now, revision_state, seconds
from app.registry.tables import AuditEntry, Model
from tests import databases


def add_model(database: Database, name: str) -> None:
    with database.session() as session:
        session.add(Model(name=name, created_at=now()))


def names(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Model.name).order_by(Model.name)))


def test_session_commits_at_the_end(database: Database) -> None:
    add_model(database, "a")
    assert names(database) == ["a"]


def test_session_rolls_back_on_an_error(database: Database) -> None:
    with pytest.raises(NotFound), database.session() as session:
        session.add(Model(name="a", created_at=now()))
        session.flush()
        raise NotFound
    assert names(database) == []


def test_read_throws_away_what_is_written_in_it(database: Database) -> None:
    with database.read() as session:
        session.add(Model(name="a", created_at=now()))
        session.flush()
    assert names(database) == []


def test_clock_is_the_databases_not_the_hosts_python(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time()
    monkeypatch.setattr(time, "time", lambda: real + 3600)
    with database.read() as session:
        assert abs(seconds(session) - real) < 60


def test_clock_goes_on_within_a_transaction(database: Database) -> None:
    with database.read() as session:
        began, first = time.monotonic(), seconds(session)  # in this order: the process may be paused in between
        while (later := seconds(session)) == first:
            assert time.monotonic() - began < 60
            time.sleep(0.001)
        # within a hundredth, for the two clocks are not the same
        assert later - first < time.monotonic() - began + 0.01


def test_times_of_rows_are_seconds_with_fractions(database: Database) -> None:
    add_model(database, "a")
    with database.read() as session:
        at = session.scalar(select(Model.created_at))
        assert isinstance(at, float)
        assert abs(at - seconds(session)) < 10


def test_json_keeps_the_order_of_keys_and_turns_nan_into_null(database: Database) -> None:
    detail = {"zebra": math.nan, "a": [1.5, math.inf], "long_key": {"b": 1, "a": "half a pair \ud800, NUL \0"}}
    with database.session() as session:
        AuditRepository(session).add(None, "x", "y", detail)
    with database.read() as session:
        stored = session.scalars(select(AuditEntry.detail)).one()
    assert stored == {"zebra": None, "a": [1.5, None], "long_key": {"b": 1, "a": "half a pair \ud800, NUL \0"}}
    assert list(stored) == ["zebra", "a", "long_key"]
    assert list(stored["long_key"]) == ["b", "a"]


def test_writers_of_many_threads_wait_for_each_other(database: Database) -> None:
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for step in range(5):
                with database.session() as session:
                    session.scalar(select(Model.name))  # reads first: a plain BEGIN would fail with SQLITE_BUSY here
                    session.add(Model(name=f"{number:02}-{step}", created_at=now()))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(names(database)) == 100


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    with database.session() as session:
        session.add(Model(name="a", created_at=now()))
        session.flush()
        assert names(database) == []  # the writer is this thread: who waited for it would wait in vain


def test_database_that_does_not_answer_is_unavailable(settings: Settings) -> None:
    nobody = settings.model_copy(update={"database_url": "postgresql://postgres@127.0.0.1:9/none"})
    database = Database(make_engine(nobody))
    with pytest.raises(Unavailable) as caught, database.session() as session:
        session.execute(select(Model.name))
    assert caught.value.retry_after_s == 1.0
    assert "127.0.0.1" not in caught.value.detail
    with pytest.raises(Unavailable):
        revision_state(database.engine)
    with pytest.raises(Unavailable):
        migrate(database.engine)


@pytest.mark.parametrize("database_url", databases.kinds()[1:], indirect=True)
def test_lost_connection_is_unavailable_and_the_next_one_works(database: Database) -> None:
    with pytest.raises(Unavailable), database.session() as session:
        own = session.scalar(text("SELECT pg_backend_pid()"))
        with database.read() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": own})
        session.execute(select(Model.name))
    add_model(database, "a")
    assert names(database) == ["a"]


def test_run_repeats_work_until_the_database_answers(database: Database) -> None:
    tries = []

    def work(session: object) -> str:
        tries.append(session)
        if len(tries) < 3:
            raise Unavailable
        return "done"

    assert database.run(work) == "done"
    assert len(tries) == 3


def test_run_gives_up_after_its_patience(database: Database) -> None:
    def work(session: object) -> None:
        raise Unavailable

    with pytest.raises(Unavailable):
        database.run(work, patience_s=0.2)


def test_sqlite_settings_are_in_force(settings: Settings) -> None:
    engine = make_engine(settings)
    migrate(engine)
    with engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
        }
    engine.dispose()
    assert values == {"journal_mode": "wal", "busy_timeout": 10_000, "foreign_keys": 1, "synchronous": 1}


def test_locked_sqlite_is_unavailable(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.registry.db._BUSY_TIMEOUT_MS", 200)
    engine = make_engine(settings)
    migrate(engine)
    database = Database(engine)
    foreign = create_engine(settings.sql_url)
    with foreign.connect() as holder:
        holder.exec_driver_sql("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable), database.session() as session:
            session.connection().exec_driver_sql("SELECT 1")
    foreign.dispose()
    database.close()
