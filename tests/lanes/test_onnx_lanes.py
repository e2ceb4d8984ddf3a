"""ONNX Runtime in two lanes: both take one conversion, and one answers by the other's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lanes.conftest import Host
from tests.published_models import publish
from tests.serving import onnx_packages
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(onnx_packages.MISSING, reason="scripts/onnx makes it")]

ROWS = [{"x": 0.5, "w": "a"}, {"x": -0.25, "w": "b"}, {"x": 0.5, "w": "zebra"}]
SCORES = [1.5, 1.75, 0.5]  # 1 for a, 2 for b, 0 for others, + x


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, exports: Path) -> Iterator[Host]:
    """A host with the packages on its path, and the model `words`."""
    host = Host(tmp_path_factory.mktemp("onnx-host"), exports, PYTHONPATH=str(onnx_packages.SITE))
    publish(host.database, host.storage, "words", exports / "worded")
    yield host
    host.stop()
    assert host.left == []


def by_onnx(host: Host) -> set[str]:
    """Lanes whose predictors compute signatures of the model so."""
    return set(re.findall(r'serving_signatures\{engine="onnx",lane="(\d)",model="words".*\} [1-9]', host.metrics()))


def answers(host: Host) -> tuple[list[Any], list[Any]]:
    """Predictions, and what is said to compute them, over so many connections that both lanes have some."""
    sent = {"authorization": f"Bearer {host.secret}", "content-type": "application/json"}
    predictions, engines = [], []
    for _ in range(8):
        connection = host.connect()
        connection.request("POST", "/v1/models/words:predict", json.dumps({"instances": ROWS}), sent)
        predictions.append(json.loads(connection.getresponse().read())["predictions"])
        connection.request("GET", "/v1/models/words/versions/1", headers=sent)
        engines.append(json.loads(connection.getresponse().read())["engine"])
        connection.close()
    return predictions, engines


def test_both_lanes_answer_by_onnx_and_one_by_the_others(own: Host) -> None:
    serving = "/v1/models/words/serving"
    assert own.ask("PUT", serving, json={"engine": "onnx"}).status_code == 200
    wait_for(lambda: by_onnx(own) == {"0", "1"}, "a conversion", 300)
    of_both, engines = answers(own)
    assert own.ask("PUT", serving, json={"engine": "onnx", "lanes": 1}).status_code == 200
    wait_for(lambda: len(by_onnx(own)) == 1, "one lane to free it")
    of_one, engines_of_one = answers(own)
    for found in [*of_both, *of_one]:
        assert found == of_both[0]
        assert [row["score"] for row in found] == pytest.approx(SCORES)
    for engine in [*engines, *engines_of_one]:
        assert engine["signatures"]["serving_default"] == "onnx"
        assert engine["reasons"] == {"examples": "It takes serialized examples, which ONNX cannot read."}
