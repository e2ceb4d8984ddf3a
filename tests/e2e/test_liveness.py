"""Parts that hang are replaced, and files are the service user's alone, in a whole service."""

from __future__ import annotations

import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.conftest import RunningService, wait_for
from tests.e2e.penguins import KNOWN_CSV, train_job


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    data_dir: Path = tmp_path_factory.mktemp("liveness") / "data"
    service = RunningService(data_dir, {"DATABASE_URL": "", "REDIS_URL": "", "HANG_S": "4"}, umask=0)
    yield service
    service.stop()


def test_everything_that_a_service_writes_is_its_users_alone(embedded: RunningService) -> None:
    dataset = embedded.dataset("penguins", KNOWN_CSV)
    embedded.succeeded(embedded.submit(train_job(dataset, "private")))
    seen = [embedded.data_dir, *embedded.data_dir.rglob("*")]
    assert any(stat.S_ISSOCK(path.lstat().st_mode) for path in seen)
    assert {"registry.db", "registry.db-wal", "admin-token", "saved_model.pb"} <= {path.name for path in seen}
    mine = [path for path in seen if path != embedded.log]  # which this test made
    assert [path for path in mine if path.lstat().st_mode & 0o077] == []


@pytest.mark.parametrize("part", ["app.lanes", "celery", "server"])
def test_part_that_hangs_is_replaced(embedded: RunningService, part: str) -> None:
    wait_for(lambda: embedded.get("/v1/workers")["workers"], "the worker")
    parts = {child.pid: child for child in psutil.Process(embedded.process.pid).children()}
    (hung,) = [child for child in parts.values() if part in " ".join(child.cmdline()[:4])]
    hung.send_signal(signal.SIGSTOP)
    wait_for(lambda: not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE, f"the end of {part}")

    def works() -> bool:
        try:
            return bool(embedded.http.get("/readyz", timeout=2).json()["status"] == "ok")
        except (httpx.HTTPError, KeyError):
            return False

    wait_for(works, "the service")
    dataset = embedded.dataset("penguins", KNOWN_CSV)
    embedded.succeeded(embedded.submit(train_job(dataset, "again")))
