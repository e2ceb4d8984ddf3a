"""The synchronous client is the asynchronous one, written anew by a script."""

from __future__ import annotations

import pytest

import estimator_client
from scripts import sync_client


@pytest.mark.parametrize("name", sync_client.NAMES)
def test_synchronous_modules_are_made_from_the_asynchronous_ones(name: str) -> None:
    text = sync_client.formatted(name)

    assert (sync_client.PACKAGE / f"{name}.py").read_text() == text, "run scripts/sync_client.py"
    assert "async def" not in text
    assert "await " not in text


def test_every_public_name_is_there() -> None:
    for name in estimator_client.__all__:
        assert getattr(estimator_client, name) is not None


def test_both_clients_have_the_same_methods() -> None:
    names = {name for name in dir(estimator_client.AsyncClient) if not name.startswith("_")}

    assert names - {"aclose"} == {name for name in dir(estimator_client.Client) if not name.startswith("_")} - {"close"}
