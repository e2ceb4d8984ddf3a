"""Azurite, Microsoft's own emulator of Azure's blobs, where `scripts/azurite` has fetched it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import shutil
import socket
import subprocess
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

from tests.ports import free_port
from tests.tied import tied
from tests.waiting import wait_for

_PROGRAM = Path(__file__).parents[2] / ".azurite/node_modules/.bin/azurite-blob"
MISSING = not (shutil.which("node") and _PROGRAM.exists())
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Public: the account that every Azurite has."""


def environment(endpoint: str) -> dict[str, str]:
    """By which clients find it."""
    return {
        "AZURE_STORAGE_ENDPOINT": endpoint,
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": KEY,
    }


@contextlib.contextmanager
def started(container: str) -> Iterator[str]:
    """The address of one with an empty container."""
    port = free_port()
    options = ["--blobPort", str(port), "--silent", "--skipApiVersionCheck", "--inMemoryPersistence"]
    command = ["node", _PROGRAM, *options, "--disableTelemetry"]
    with subprocess.Popen(tied(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: process.poll() is not None or _listens(port))
            _make_container(port, container)
            yield f"http://127.0.0.1:{port}/{ACCOUNT}"
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def _make_container(port: int, name: str) -> None:
    """By a request that the account's key signs (Azure Storage, "Authorize with Shared Key")."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2023-11-03"}
    lines = ["PUT", *[""] * 11, *(f"{key}:{value}" for key, value in sorted(headers.items()))]
    lines += [f"/{ACCOUNT}/{ACCOUNT}/{name}", "restype:container"]
    digest = hmac.new(base64.b64decode(KEY), "\n".join(lines).encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("PUT", f"/{ACCOUNT}/{name}?restype=container", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    connection.close()
