"""Warm-up records of TensorFlow Serving: as requests, and in a real predictor that loads an export with them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from app.digest import directory_digest
from app.errors import ServiceError
from app.protocols.warm_up_records import decode_record
from app.serving.decode import Decoder
from app.serving.export_description import read_export
from app.serving.model_limits import BatchLimits
from app.serving.own_predictors import OwnPredictors
from app.serving.wanted_version import WantedVersion
from tests.datasets.test_tfrecord import record as framed
from tests.fork_server import Lender
from tests.protocols.conftest import message
from tests.protocols.test_tensorflow_serving import floats, mixed_inputs, predict_request
from tests.serving.conftest import Server
from tests.waiting import wait_for

MIB = 2**20


def log(**kinds: Any) -> bytes:
    """A PredictionLog by the request of its kind."""
    made = message("PredictionLog")()
    for kind, request in kinds.items():
        getattr(made, f"{kind}_log").request.CopyFrom(request)
    return made.SerializeToString()  # type: ignore[no-any-return]


def integers(*values: int) -> Any:
    return np.array(values, np.int64)


def inputs(rows: int) -> dict[str, Any]:
    """Of `mixed`, without the one that needs a second dimension."""
    return {name: values for name, values in mixed_inputs(rows).items() if name != "w"}


def with_examples(name: str, count: int) -> Any:
    """A request of `tf.Example`s with every feature that `mixed` cannot do without."""
    request = message(name)()
    for _ in range(count):
        features = request.input.example_list.examples.add().features.feature
        features["n"].int64_list.value.append(1)
        features["v"].float_list.value.extend([1.0, 2.0])
    return request


@pytest.fixture
def mixed(exports: Path) -> Decoder:
    return Decoder(read_export(exports / "mixed"), max_rows=100)


def test_every_kind_of_record_becomes_requests(mixed: Decoder) -> None:
    multi = with_examples("MultiInferenceRequest", 3)
    for _ in range(2):
        multi.tasks.add(method_name="tensorflow/serving/classify")
    records = [
        log(predict=predict_request(**inputs(4))),
        log(predict=predict_request(signature="examples", examples=[b"", b""])),
        log(classify=with_examples("ClassificationRequest", 5)),
        log(multi_inference=multi),
        b"",
    ]
    found = [[(one.signature, one.count) for one in decode_record(mixed, record, MIB)] for record in records]
    assert found == [
        [("serving_default", 4)],
        [("examples", 2)],
        [("classification", 5)],
        [("classification", 3), ("classification", 3)],
        [],
    ]


def test_regress_record_becomes_a_request(exports: Path) -> None:
    request = message("RegressionRequest")()
    request.input.example_list.examples.add().features.feature["x"].float_list.value.append(2.0)
    (decoded,) = decode_record(Decoder(read_export(exports / "plus2"), max_rows=9), log(regress=request), MIB)
    assert (decoded.signature, decoded.rows[0].f0) == ("regression", 2.0)


def test_inputs_go_by_the_graphs_names_too(exports: Path) -> None:
    export = read_export(exports / "plus2")
    renamed = msgspec.structs.replace(export.features[0], name="class", input="class_input")
    decoder = Decoder(msgspec.structs.replace(export, features=[renamed]), max_rows=9)
    for name in ("class", "class_input"):
        (decoded,) = decode_record(decoder, log(predict=predict_request(**{name: floats(1, 2)})), MIB)
        assert decoded.columns == [floats(1, 2).tobytes()]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"\xff\xff", "no PredictionLog"),
        (bytes([5 << 3 | 2, 0]), "session_run_log is not run"),
        (log(predict=predict_request(signature="other", x=floats(1))), "other"),
        (log(predict=predict_request(**inputs(0))), "no rows"),
        (log(regress=with_examples("RegressionRequest", 1)), "regression"),
        (log(multi_inference=with_examples("MultiInferenceRequest", 1)), "tasks"),
    ],
)
def test_wrong_record_says_what_is_wrong(mixed: Decoder, record: bytes, reason: str) -> None:
    with pytest.raises(ServiceError, match=reason):
        decode_record(mixed, record, MIB)


@pytest.fixture(scope="module")
def loading(fork_server: Lender) -> Iterator[Server]:
    """A server whose models each test sets for itself."""
    with fork_server.lent():
        server = Server(limits=BatchLimits(timeout_s=50), predictors=OwnPredictors(spare=False))
    yield server
    server.stop()


@pytest.fixture
def load(loading: Server, exports: Path, tmp_path: Path) -> Callable[[bytes], str | None]:
    """load(file of warm-up records) → why `picky` could not be loaded with it, None when it was."""

    def load_with(file: bytes) -> str | None:
        directory = tmp_path / "export"
        shutil.copytree(exports / "picky", directory)
        (directory / "assets.extra" / "tf_serving_warmup_requests").write_bytes(file)
        loading.outcomes.clear()
        loading.sync(WantedVersion("picky", 1, str(directory), directory_digest(directory), "ver_1", (), staged=True))
        wait_for(lambda: loading.outcomes)
        return loading.outcomes[0][2]

    return load_with


GOOD = framed(log(predict=predict_request(x=integers(0, 4))))
"""A lookup that `picky` can do; it fails from 5 on."""


def test_thousand_records_are_run_and_the_version_is_loaded(load: Callable[[bytes], str | None]) -> None:
    assert load(GOOD * 1000) is None


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (GOOD * 2 + framed(log(predict=predict_request(x=integers(1, 9)))), "record 3 .* cannot compute it"),
        (GOOD + framed(log(predict=predict_request(y=integers(1)))), "record 2 .*no input 'y'"),
        (GOOD * 1001, "more than 1000 records"),
        (GOOD + GOOD[:-3], "no whole TFRecord file: record 2"),
        (GOOD[:20] + b"\0" + GOOD[21:], "no whole TFRecord file: record 1"),
        (b"neither records nor anything else", "no whole TFRecord file"),
    ],
    ids=["not computed", "unknown input", "too many", "cut", "damaged", "no records"],
)
def test_wrong_file_makes_the_load_fail(load: Callable[[bytes], str | None], file: bytes, reason: str) -> None:
    found = load(file)
    assert found is not None
    assert "tf_serving_warmup_requests" in found
    assert re.search(reason, found), found
