"""The synchronous client is the asynchronous one, written anew by a script."""

from __future__ import annotations

import pytest

from scripts import sync_client


@pytest.mark.parametrize("name", sync_client.NAMES)
def test_synchronous_modules_are_made_from_the_asynchronous_ones(name: str) -> None:
    text = sync_client.formatted(name)

    assert (sync_client.PACKAGE / f"{name}.py").read_text() == text, "run scripts/sync_client.py"
    assert "async def" not in text
    assert "await " not in text
