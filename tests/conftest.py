"""Fixtures for everybody. Nothing here imports TensorFlow."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from app.config import Settings
from app.registry.db import Database, make_engine
from app.storage import Storage
from tests import authorities, databases, sql_order
from tests.fork_server import Lender
from tests.object_store import stores

sql_order.install()
authorities.install()
os.environ["BROKER_URL"] = ""  # services that tests start have the broker that the test names


#: Folders and files whose tests start the whole service, compute for seconds, or build packages.
SLOW = (
    "api/test_schemathesis.py",
    "chaos",
    "e2e",
    "estimator",
    "packages",
    "protocols",
    "serving",
    "test_documented_commands.py",
    "test_flaky.py",
    "test_memory.py",
    "test_operations.py",
    "test_scripts.py",
    "upgrade",
    "workers",
)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None]:
    """Imports of a million objects that stay, without looking for garbage among them meanwhile or later: that took half
    of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of `SLOW`."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).as_posix().startswith(SLOW):
            item.add_marker("slow")


def pytest_report_header() -> str:
    return f"registry databases: {', '.join(databases.kinds())}"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "registry.db"
    databases.migrated(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def migrated_postgres() -> Iterator[str]:
    """URL of a migrated PostgreSQL database that every test leaves empty."""
    with databases.temporary_postgres() as url:
        databases.migrated(url).close()
        yield url


@pytest.fixture(scope="session")
def fork_server() -> Iterator[Lender]:
    """`with fork_server.lent():` sets up predictors without another import of TensorFlow."""
    lender = Lender()
    yield lender
    lender.close()


@pytest.fixture(params=databases.kinds())
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an up-to-date registry without rows: SQLite, and PostgreSQL where it answers."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("migrated_postgres"))
    path = tmp_path / "registry.db"
    shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An up-to-date registry without rows, on SQLite and on PostgreSQL where it answers."""
    opened = Database(make_engine(Settings(database_url=database_url)))
    yield opened
    if not database_url.startswith("sqlite"):
        databases.empty(opened)
    opened.close()


@pytest.fixture(scope="session")
def moto_s3() -> Iterator[str]:
    """The address of an S3 with an empty bucket."""
    with stores.store() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def azurite_blobs() -> Iterator[str]:
    """The address of Azurite with an empty container."""
    with stores.store("az") as endpoint:
        yield endpoint


@pytest.fixture
def s3(moto_s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an S3, which this process' environment names meanwhile."""
    for name, value in stores.environment(moto_s3).items():
        monkeypatch.setenv(name, value)
    return moto_s3


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Defaults with an own data directory (SQLite, no broker running), whatever the environment says."""
    return Settings(data_dir=tmp_path / "data", database_url="", redis_url="", artifacts_url="")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "artifacts")
