"""Instances that make the model's graph fail: alone in their batch, and by name."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from tests.serving.conftest import Server


def test_bad_value_in_a_shared_batch_fails_alone(server: Server) -> None:
    # picky knows 0 to 4 and gives 10 + x; 7 makes its graph fail.
    results: dict[int, httpx.Response] = {}

    def ask(index: int) -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            results[index] = client.post("/v1/models/picky:predict", json={"instances": [7 if index % 5 == 0 else 3]})

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, response in results.items():
        expected = 422 if index % 5 == 0 else 200
        assert response.status_code == expected
        if expected == 200:
            assert response.json() == {"predictions": [13.0]}


# picky fails on 7; requests of one row up to several, the one at fault first, in the middle and last.
@pytest.mark.parametrize(
    ("path", "body", "place", "words"),
    [
        ("picky:predict", {"instances": [7]}, "/instances/0", "Instance 0: "),
        ("picky:predict", {"instances": [1, 2, 3, 7, 4]}, "/instances/3", "Instance 3: "),
        ("picky:predict", {"instances": [1] * 99 + [7]}, "/instances/99", "Instance 99: "),
        ("picky:predict", {"inputs": [1, 7]}, "/inputs", "Row 1 of the inputs: "),
    ],
)
def test_instance_that_makes_the_graph_fail_is_named(
    server: Server, path: str, body: dict[str, Any], place: str, words: str
) -> None:
    response = server.post(path, body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == place
    assert response.json()["error"].startswith(words)
