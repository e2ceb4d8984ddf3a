from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.object_store.stores import KINDS, FaultProxy, Hosts, environment


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The store's scheme."""
    return str(request.param)


@pytest.fixture
def endpoint(request: pytest.FixtureRequest, kind: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store's address, which this process' environment names meanwhile."""
    found = str(request.getfixturevalue({"s3": "moto_s3", "az": "azurite_blobs"}[kind]))
    for name, value in environment(found, kind).items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def hosts(endpoint: str, kind: str, tmp_path: Path) -> Hosts:
    return Hosts(tmp_path / "caches", kind)


@pytest.fixture
def faults(endpoint: str, hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """In front of the store that `hosts` use."""
    proxy = FaultProxy(endpoint)
    for name, value in environment(proxy.endpoint, hosts.kind).items():
        monkeypatch.setenv(name, value)
    yield proxy
    proxy.close()
