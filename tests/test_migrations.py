from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from app.config import Settings
from app.registry.db import HEAD, Database, make_engine, migrate, revision_state
from app.registry.migrations import alembic_config, downgrade, upgrade
from app.registry.tables import Base, CleanText
from tests import databases

ROOT = Path(__file__).parent.parent


@pytest.fixture(params=databases.kinds())
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new' / 'registry.db'}"
    else:
        with databases.temporary_postgres() as url:
            yield url


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    made = make_engine(Settings(database_url=empty_url))
    yield made
    made.dispose()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def differences(engine: Engine) -> list[object]:
    options = {"compare_type": same_type, "compare_server_default": True}
    with engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)


def same_type(context: object, inspected: object, column: object, found: object, wanted: object) -> bool | None:
    """None: let Alembic compare, also what stands behind our own type."""
    return False if isinstance(wanted, CleanText) and type(found).__name__ == "TEXT" else None


def test_up_down_up_gives_all_tables_none_and_all_again(engine: Engine) -> None:
    wanted = {table.name for table in Base.metadata.sorted_tables}
    with engine.begin() as connection:
        upgrade(connection)
    assert tables(engine) == wanted
    with engine.begin() as connection:
        downgrade(connection, "base")
    assert tables(engine) == set()
    assert revision_state(engine) == "empty"
    with engine.begin() as connection:
        upgrade(connection)
    assert tables(engine) == wanted
    assert revision_state(engine) == "ok"


def test_each_step_down_can_be_taken_up_again(engine: Engine) -> None:
    with engine.begin() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
        upgrade(connection)
    for script in scripts.walk_revisions():
        with engine.begin() as connection:
            downgrade(connection, script.down_revision or "base")
        with engine.begin() as connection:
            upgrade(connection, script.revision)
        with engine.begin() as connection:
            downgrade(connection, script.down_revision or "base")
    assert tables(engine) == set()


def test_steps_down_keep_the_rows_of_older_tables(engine: Engine) -> None:
    """A table that SQLite makes anew takes all rows with it that refer to it, when the old one is dropped."""
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO models (name, created_at) VALUES ('m', 0)"))
        connection.execute(
            text(
                "INSERT INTO labels (model, label, version, floor, revision, updated_at) VALUES ('m', 'l', 1, 1, 1, 0)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO jobs (id, type, spec, state, attempt, cancel_requested, drain_requested, queue, priority, "
                "max_attempts, counted_attempts, progress, result, not_before, created_at) "
                "VALUES ('j', 'train', '{}', 'FAILED', 1, false, false, 'q', 5, 3, 0, '{}', '{}', 0, 0)"
            )
        )
        connection.execute(text("INSERT INTO job_events (job_id, kind, data, at) VALUES ('j', 'state', '{}', 0)"))
    for script in _revisions_down_to_first(engine):
        with engine.begin() as connection:
            downgrade(connection, script)
            kept = [connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in ("labels", "job_events")]
            assert kept == [1, 1], script


def _revisions_down_to_first(engine: Engine) -> list[str]:
    with engine.begin() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
    return [script.down_revision for script in scripts.walk_revisions() if script.down_revision]


def test_migrated_tables_equal_the_code(engine: Engine) -> None:
    assert migrate(engine) == "ok"
    assert differences(engine) == []


def test_drift_is_found(engine: Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_jobs_created_at_id"))
        connection.execute(text("ALTER TABLE labels ADD COLUMN foreign_column TEXT"))
    assert {difference[0] for difference in differences(engine)} == {"add_index", "remove_column"}


def test_revisions_are_numbers_in_order_and_head_is_the_last(engine: Engine) -> None:
    with engine.begin() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    assert revisions == [f"{number:04}" for number in range(1, len(revisions) + 1)]
    assert scripts.get_heads() == [HEAD]


def test_state_of_an_empty_database_is_empty(engine: Engine) -> None:
    assert revision_state(engine) == "empty"


@pytest.mark.parametrize(("revision", "state"), [("0000", "behind"), ("9999", "ahead")])
def test_state_follows_the_revision_in_the_database(engine: Engine, revision: str, state: str) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    assert revision_state(engine) == state


def test_newer_database_is_left_alone(engine: Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert migrate(engine) == "ahead"
    assert revision_state(engine) == "ahead"


def test_migration_that_breaks_leaves_nothing_half_done(engine: Engine) -> None:
    with engine.begin() as connection:  # in the way of the migration
        connection.execute(text("CREATE TABLE versions (id INTEGER)"))
    with pytest.raises(Exception, match="versions"):
        migrate(engine)
    assert tables(engine) == {"versions"}
    assert revision_state(engine) == "empty"


def test_one_wins_when_many_threads_start_at_once(empty_url: str) -> None:
    results: list[object] = []

    def start() -> None:
        database = Database(make_engine(Settings(database_url=empty_url)))
        try:
            results.append(migrate(database.engine))
        except BaseException as error:
            results.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["ok"] * 8


def test_one_wins_when_processes_start_at_once(empty_url: str) -> None:
    code = (
        "from app.config import Settings\n"
        "from app.registry.db import make_engine, migrate\n"
        f"print(migrate(make_engine(Settings(database_url={empty_url!r}))))\n"
    )
    command = [sys.executable, "-c", code]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=500)[0].strip() for process in started] == ["ok"] * 3


def test_up_to_date_database_starts_without_alembic(tmp_path: Path, migrated_sqlite: Path) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "registry.db")
    code = (
        "import sys\n"
        "from app.config import Settings\n"
        "from app.registry.db import make_engine, migrate\n"
        f"print(migrate(make_engine(Settings(database_url='sqlite:///{tmp_path / 'registry.db'}'))))\n"
        "print('alembic' in sys.modules)\n"
    )
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output.split() == ["ok", "False"]


def test_command_line_migrates_the_database_of_the_settings(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    environment = {"PATH": "", "DATABASE_URL": url}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    engine = make_engine(Settings(database_url=url))
    assert revision_state(engine) == "ok"
    engine.dispose()
