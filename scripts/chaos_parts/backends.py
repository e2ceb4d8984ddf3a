"""Where a chaos run keeps its registry and its broker. All of it is made here and removed at the end: a configured
DATABASE_URL or REDIS_URL is never touched."""

from __future__ import annotations

import os
import secrets
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import redis

from app.config import Settings
from workers.service.broker import find_server

POSTGRESQL = os.environ.get("CHAOS_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres")
"""A server on which a database may be made (and dropped)."""


class Embedded:
    """SQLite, and the broker that the service supervises itself, in the data directory."""

    name = "embedded"
    dialect = "sqlite"

    def __init__(self, data_dir: Path) -> None:
        self.environment = {"DATABASE_URL": "", "REDIS_URL": ""}
        self._file = data_dir / "registry.db"
        self.broker_socket = Settings(data_dir=data_dir, redis_url="").broker_socket

    @contextmanager
    def sql(self) -> Iterator[Any]:
        """A connection that commits each statement."""
        connection = sqlite3.connect(self._file, timeout=30, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    def broker(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.broker_socket), socket_timeout=2)

    def kill_broker(self, service_processes: list[Any]) -> bool:
        for process in service_processes:
            process.kill()
        return bool(service_processes)

    def close(self) -> None:
        pass


class PostgresqlRedis:
    """A new database on a PostgreSQL server, and a Redis server of our own on a unix socket."""

    name = "postgresql+redis"
    dialect = "postgresql"

    def __init__(self, data_dir: Path, server: str = POSTGRESQL) -> None:
        self._server, self._database = server, f"estimator_chaos_{secrets.token_hex(6)}"
        self._url = f"{server.rpartition('/')[0]}/{self._database}"
        self._directory = data_dir / "own-redis"
        self._directory.mkdir(mode=0o700, parents=True)
        self.broker_socket = self._directory / "redis.sock"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{self._database}"')
        self.environment = {"DATABASE_URL": self._url, "REDIS_URL": f"redis+socket://{self.broker_socket}"}
        self._process = self._start_redis()

    @contextmanager
    def sql(self) -> Iterator[Any]:
        """A connection that commits each statement."""
        with psycopg.connect(self._url, autocommit=True, application_name="chaos") as connection:
            yield connection

    def broker(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.broker_socket), socket_timeout=2)

    def kill_broker(self, service_processes: list[Any]) -> bool:
        self._process.kill()
        self._process.wait()
        time.sleep(0.5)
        self._process = self._start_redis()
        return True

    def cut_connections(self) -> int:
        """Ends every connection to the database but those of this program; how many there were."""
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name <> 'chaos'"
        )
        with self.sql() as connection:
            return int(connection.execute(query).fetchone()[0])

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{self._database}" WITH (FORCE)')

    def _start_redis(self) -> subprocess.Popen[bytes]:
        options = {"port": "0", "unixsocket": str(self.broker_socket), "dir": str(self._directory), "save": ""}
        options |= {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
        argv = [find_server(), *(word for name, value in options.items() for word in (f"--{name}", value))]
        log = (self._directory / "redis.log").open("ab")
        with log:
            return subprocess.Popen(argv, stdout=log, stderr=log)


Backend = Embedded | PostgresqlRedis


def make(name: str, data_dir: Path) -> Backend:
    return Embedded(data_dir) if name == Embedded.name else PostgresqlRedis(data_dir)
