"""One running service for all tests of this folder that only look at it or use models of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import RunningService


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    running = RunningService(tmp_path_factory.mktemp("service"), {"DATABASE_URL": "", "REDIS_URL": ""})
    yield running
    running.stop()
