"""What the service keeps is its user's alone, whatever the umask and whoever was there first."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.config import Settings
from app.private_files import UnsafePath, make_private, protect
from workers.service import broker

ROOT = Path(__file__).parents[1]
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def as_nobody(work: Callable[[], object]) -> str:
    """The name of the exception that `work` raises under another user's id; empty where it succeeds."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        name = ""
        try:
            work()
        except BaseException as error:
            name = type(error).__name__
        os.write(write, name.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        return pipe.read()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that other users may enter; those of pytest they may not."""
    with tempfile.TemporaryDirectory(prefix="estimator-test-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_directory_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert not make_private(tmp_path / "made" / "below")
    finally:
        os.umask(before)
    assert mode(tmp_path / "made" / "below") == 0o700


def test_open_directory_and_files_are_told_and_mended(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    settings = Settings(data_dir=data, database_url="", artifacts_url=str(tmp_path / "artifacts"))
    for name in ("registry.db", "registry.db-wal", "admin-token"):
        (data / name).write_text("x")
        (data / name).chmod(0o644)
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts").chmod(0o750)
    found = protect(settings.private_directories, settings.private_files)
    assert [mode(path) for path in (data, tmp_path / "artifacts")] == [0o700, 0o700]
    assert {mode(data / name) for name in ("registry.db", "registry.db-wal", "admin-token")} == {0o600}
    assert len(found) == 5
    assert protect(settings.private_directories, settings.private_files) == []


def test_link_in_the_place_of_a_directory_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o755)
    target.chmod(0o755)
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(UnsafePath, match="no directory of ours"):
        make_private(tmp_path / "link")
    assert mode(target) == 0o755


@as_root
def test_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", NOBODY, NOBODY)
    with pytest.raises(UnsafePath, match="another user"):
        make_private(tmp_path / "theirs")
    (told,) = protect([tmp_path / "theirs"], [])
    assert "another user" in told


@as_root
@pytest.mark.parametrize("kind", ["directory", "link"])
def test_brokers_directory_made_by_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A deep data directory puts the broker's socket into the temporary directory, where anybody may come first."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    settings = Settings(data_dir=tmp_path / ("deep" * 25), database_url="", redis_url="")
    place = settings.broker_socket.parent
    assert place.parent == temporary
    if kind == "directory":
        place.mkdir()
        os.chown(place, NOBODY, NOBODY)
    else:
        (tmp_path / "victim").mkdir(mode=0o755)
        place.symlink_to(tmp_path / "victim")
    with pytest.raises(UnsafePath):
        broker.command(settings)
    assert list(place.iterdir()) == []
    place.unlink() if kind == "link" else place.rmdir()
    assert str(place) in " ".join(broker.command(settings))


@as_root
@pytest.mark.parametrize("part", ["app.lanes", "app.main", "workers.reconciler", "celery -A workers.celery_app worker"])
def test_part_started_alone_uses_no_socket_of_another_user(tmp_path: Path, part: str) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "DATA_DIR": str(tmp_path / ("deep" * 25))}
    environment |= {"DATABASE_URL": "", "REDIS_URL": "", "ARTIFACTS_URL": "", "PORT": "0"}
    place = f"estimator-0-{hashlib.sha256(environment['DATA_DIR'].encode()).hexdigest()[:16]}"
    (tmp_path / place).mkdir()
    os.chown(tmp_path / place, NOBODY, NOBODY)
    command = [sys.executable, "-m", *part.split()]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert ended.returncode != 0
    assert f"{place} belongs to another user" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr


@as_root
def test_other_users_can_neither_read_nor_lock_the_registry(reachable: Path) -> None:
    data = reachable / "data"
    data.mkdir()
    settings = Settings(data_dir=data, database_url="")
    connection = sqlite3.connect(data / "registry.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (x)")
    for path in (data, *data.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    names = ("registry.db", "registry.db-wal", "registry.db-shm")
    directory = os.open(data, os.O_RDONLY)
    assert [as_nobody((data / name).read_bytes) for name in names] == ["", "", ""]
    protect(settings.private_directories, settings.private_files)
    assert [as_nobody((data / name).read_bytes) for name in names] == ["PermissionError"] * 3
    # even with the directory open from before, the files are closed to them
    assert [as_nobody(lambda name=name: os.open(name, os.O_RDONLY, dir_fd=directory)) for name in names] == [
        "PermissionError"
    ] * 3
    os.close(directory)
    connection.close()
