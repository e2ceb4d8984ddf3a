from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.object_store.stores import FaultProxy, Hosts, environment


@pytest.fixture
def hosts(s3: str, tmp_path: Path) -> Hosts:
    return Hosts(tmp_path / "caches")


@pytest.fixture
def faults(s3: str, hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """In front of the store that `hosts` use."""
    proxy = FaultProxy(s3)
    for name, value in environment(proxy.endpoint).items():
        monkeypatch.setenv(name, value)
    yield proxy
    proxy.close()
