"""The API as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.config import Settings
from app.main import connection_table
from tests.ports import free_port
from tests.tied import tied
from tests.waiting import wait_for

ROOT = Path(__file__).parents[1]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    own = {"DATA_DIR": str(tmp_path), "DATABASE_URL": "", "REDIS_URL": "", "ARTIFACTS_URL": "", "PREDICTOR": "none"}
    return {**os.environ, **own}


def test_process_starts_answers_and_stops_cleanly(environment: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    log = (tmp_path / "log").open("wb")
    command = [sys.executable, "-m", "app.main"]
    process = subprocess.Popen(tied(command), cwd=ROOT, env={**environment, "PORT": str(port)}, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"

    def answers(path: str) -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            return httpx.get(address + path, trust_env=False, timeout=30).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_for(lambda: answers("/healthz"))
        wait_for(lambda: answers("/readyz"))
        # the token's file is there before /readyz answers, and the broker, which is not running, only degrades
        secret = (tmp_path / "admin-token").read_text()
        assert httpx.get(f"{address}/readyz", trust_env=False, timeout=60).json()["status"] == "degraded"
        header = {"Authorization": f"Bearer {secret}"}
        assert httpx.get(f"{address}/v1/jobs", headers=header, trust_env=False).json()["jobs"] == []
        metrics = httpx.get(f"{address}/metrics", headers=header, trust_env=False).text
        assert 'jobs{state="QUEUED"} 0.0' in metrics
        assert "http_requests_total" in metrics
        process.terminate()
        process.wait(60)
    finally:
        if process.poll() is None:
            process.kill()
        log.close()
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said
    assert secret not in said


def test_application_holds_neither_tensorflow_nor_celery_nor_arrow(environment: dict[str, str]) -> None:
    code = (
        "import sys; from app.config import Settings; from app.main import create_app; create_app(Settings());"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "fastapi" in loaded
    assert loaded.isdisjoint({"tensorflow", "keras", "celery", "kombu", "pyarrow", "alembic", "workers"})


def test_keep_alive_is_the_time_between_two_requests() -> None:
    assert connection_table(Settings(keep_alive_s=75.0)).limits.idle_s == 75.0
