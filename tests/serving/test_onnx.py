"""The second engine with real parts: tf2onnx converts, ONNX Runtime answers behind a real server, TensorFlow where it
has to. `scripts/onnx` makes what is needed."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.serving.model_limits import ModelSettings
from app.serving.own_predictors import OwnPredictors
from app.serving.wanted_version import WantedVersion
from tests.serving import onnx_packages
from tests.serving.conftest import Server
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(onnx_packages.MISSING, reason="scripts/onnx makes it"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]
Wanted = Callable[..., WantedVersion]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a fork server of its own: the packages are on its path."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(onnx_packages.SITE))
        patched.setattr(sys, "path", [*sys.path, str(onnx_packages.SITE)])
        server = Server(predictors=OwnPredictors(spare=False), conversions=tmp_path_factory.mktemp("conversions"))
        yield server
        server.stop()


def engine_of(server: Server, model: str) -> dict[str, Any]:
    from app.serving.engines import engine_of

    return engine_of(server.service.models, model, 1) or {}


def asked(server: Server, model: str) -> dict[str, Any]:
    """What is shown once the engine of all signatures is decided."""

    def decided() -> bool:
        shown = engine_of(server, model)
        return bool(shown) and ("onnx" in shown["signatures"].values() or bool(shown["reasons"]))

    wait_for(decided, "a conversion", 300)
    return engine_of(server, model)


ROWS = [
    {"x": 0.5, "w": "a"},
    {"x": -0.25, "w": "b"},
    {"x": 0.5, "w": "zebra"},
    {"x": 2.0, "w": ""},
    {"x": 1e30, "w": "a"},
    {"x": 0.5, "w": {"b64": base64.b64encode(b"\xff").decode()}},
    {"x": 0.5, "w": {"b64": base64.b64encode(b"b").decode()}},
    {"x": 0.5, "w": "b\0"},
]
SCORES = [1.5, 1.75, 0.5, 2.0, 1e30, 0.5, 2.5, 0.5]  # 1 for a, 2 for b, 0 for others, + x
CLASSES = ["low", "high", "low", "high", "high", "low", "high", "low"]  # above 1.5


def test_answers_are_tensorflows_and_only_what_can_be_converted_changes(own: Server, wanted: Wanted) -> None:
    plain = wanted("words", 1, "worded")
    own.sync(plain)
    before = own.post("words:predict", {"instances": ROWS})
    onnx = ModelSettings(engine="onnx")
    own.sync(wanted("words", 1, "worded", settings=onnx), wanted("asserts", 1, "failing", settings=onnx))
    assert asked(own, "words") == {
        "asked": "onnx",
        "signatures": {"serving_default": "onnx", "predict": "onnx", "examples": "tensorflow"},
        "reasons": {"examples": "It takes serialized examples, which ONNX cannot read."},
    }
    after = own.post("words:predict", {"instances": ROWS})
    assert (after.status_code, after.json()) == (200, before.json())
    answers = after.json()["predictions"]
    assert [row["class"] for row in answers] == CLASSES
    assert np.allclose([row["score"] for row in answers], SCORES)
    # row by row too: in a batch one odd row makes TensorFlow compute all
    alone = [own.post("words:predict", {"instances": [row]}).json()["predictions"] for row in ROWS]
    assert [row for [row] in alone] == answers
    assert asked(own, "asserts")["reasons"] == {
        "serving_default": "It has operations that are not converted: Assert, If."
    }
    assert own.post("asserts:predict", {"instances": [{"x": 9.0}]}).status_code == 422
    own.sync(plain)
    wait_for(lambda: engine_of(own, "words")["signatures"]["predict"] == "tensorflow", "TensorFlow again")
    assert own.post("words:predict", {"instances": ROWS}).json() == before.json()


def test_conversion_outlives_the_predictor(own: Server, wanted: Wanted) -> None:
    own.sync(wanted("words", 1, "worded", settings=ModelSettings(engine="onnx")))
    asked(own, "words")
    pid = own.service.predictor_pid
    own.service._predictor.kill()  # type: ignore[union-attr]
    wait_for(lambda: own.service.predictor_pid not in (0, pid), "another predictor")
    wait_for(lambda: "onnx" in engine_of(own, "words").get("signatures", {}).values(), "its conversion")
    assert own.post("words:predict", {"instances": ROWS[:2]}).json()["predictions"][1]["class"] == "high"


COMPUTES = """
import os
import sys
import numpy as np
import onnx
from onnx import TensorProto, helper
from app.serving.predictor.onnx_call import NotComputed, OnnxCall

x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])
i = helper.make_tensor_value_info("i", TensorProto.INT64, [None])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])
nodes = [helper.make_node("Gather", ["x", "i"], ["y"])]
model = helper.make_model(helper.make_graph(nodes, "g", [x, i], [y]), opset_imports=[helper.make_opsetid("", 18)])
model.ir_version = 9
before = len(os.listdir("/proc/self/task"))
call = OnnxCall(model.SerializeToString(), ["x", "unused", "i"])
values = np.array([1.0, 2.0], np.float32)
assert call([values, None, np.array([1, 0])])[0].tolist() == [2.0, 1.0]
assert len(os.listdir("/proc/self/task")) == before, "ONNX Runtime has started a thread"
assert os.listdir(os.environ["HOME"]) == [], "ONNX Runtime keeps what it would send"
for bad in (([values, None, np.array([2])]), ([np.array([np.nan], np.float32), None, np.array([0])])):
    try:
        call(bad)
    except NotComputed:
        continue
    sys.exit(f"computed {bad}")
"""


def test_what_onnx_runtime_refuses_or_may_not_be_given_is_told_apart(tmp_path: Path) -> None:
    """In a process of its own, which has the packages."""
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{root}:{onnx_packages.SITE}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COMPUTES], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
