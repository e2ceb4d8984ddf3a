"""The running API of `tests.api`, for tests of what stands before its routes."""

from __future__ import annotations

from tests.api.conftest import api, quiet, shared_api

__all__ = ["api", "quiet", "shared_api"]
