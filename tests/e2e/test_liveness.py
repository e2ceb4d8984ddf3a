"""Parts that hang are replaced, and files are the service user's alone, in a whole service."""

from __future__ import annotations

import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.conftest import RunningService
from tests.e2e.penguins import KNOWN_CSV, train_job
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    data_dir: Path = tmp_path_factory.mktemp("liveness") / "data"
    service = RunningService(data_dir, {"DATABASE_URL": "", "REDIS_URL": "", "HANG_S": "8"}, umask=0)
    yield service
    service.stop()


def test_everything_that_a_service_writes_is_its_users_alone(hanging: RunningService) -> None:
    dataset = hanging.dataset("penguins", KNOWN_CSV)
    hanging.succeeded(hanging.submit(train_job(dataset, "private")))
    seen = [hanging.data_dir, *hanging.data_dir.rglob("*")]
    assert any(stat.S_ISSOCK(path.lstat().st_mode) for path in seen)
    assert {"registry.db", "registry.db-wal", "admin-token", "saved_model.pb"} <= {path.name for path in seen}
    mine = [path for path in seen if path != hanging.log]  # which this test made
    assert [path for path in mine if path.lstat().st_mode & 0o077] == []


@pytest.mark.parametrize("part", ["app.lanes", "celery", "server"])
def test_part_that_hangs_is_replaced(hanging: RunningService, part: str) -> None:
    wait_for(lambda: hanging.get("/v1/workers")["workers"], "the worker")
    parts = {child.pid: child for child in psutil.Process(hanging.process.pid).children()}
    (hung,) = [child for child in parts.values() if part in " ".join(child.cmdline()[:4])]
    hung.send_signal(signal.SIGSTOP)
    wait_for(lambda: not hung.is_running() or hung.status() == psutil.STATUS_ZOMBIE, f"the end of {part}")

    def works() -> bool:
        try:
            return bool(hanging.http.get("/readyz", timeout=10).json()["status"] == "ok")
        except (httpx.HTTPError, KeyError):
            return False

    wait_for(works, "the service")
    dataset = hanging.dataset("penguins", KNOWN_CSV)
    hanging.succeeded(hanging.submit(train_job(dataset, "again")))
