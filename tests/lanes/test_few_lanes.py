"""A model that one of two lanes has in memory, while both answer for it."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator

import psutil
import pyarrow as pa
import pytest

from app.protocols import tfs_schema
from tests.lanes.conftest import Host, SteadyCaller, SteadyClient
from tests.waiting import wait_for

SETTINGS = "/v1/models/m/serving"
ARROW = "application/vnd.apache.arrow.stream"


def holders(host: Host) -> set[str]:
    """Lanes whose predictors have a version of the model."""
    return set(re.findall(r'serving_signatures\{engine="tensorflow",lane="(\d)",model="m".*\} [1-9]', host.metrics()))


def set_lanes(host: Host, count: int) -> None:
    settings = {"lanes": count}
    wait_for(lambda: host.ask("PUT", SETTINGS, json=settings).status_code == 200)  # as the rate lets it


def holder(host: Host) -> str:
    wait_for(lambda: len(holders(host)) == 1)
    return holders(host).pop()


def predictor_of(host: Host, lane: str) -> psutil.Process:
    """The one that the lane said serves it."""
    entries = [json.loads(line) for line in host.log.read_text().splitlines() if '"predictor serves"' in line]
    pids = [entry["pid"] for entry in entries if str(entry["lane"]) == lane]
    return next(process for process in host.predictors() if process.pid == pids[-1])


def answers_everywhere(host: Host) -> None:
    """In every protocol, over so many connections that both lanes have some of each."""
    sent = {"authorization": f"Bearer {host.secret}", "content-type": "application/json"}
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}
    asked = {
        "/v1/models/m:predict": ({"instances": [1.0]}, {"predictions": [2.5]}),
        "/v2/models/m/infer": ({"inputs": [tensor]}, [2.5]),
    }
    for path, (body, expected) in asked.items():
        connections = [host.connect() for _ in range(8)]
        for connection in connections:
            connection.request("POST", path, json.dumps(body), sent)
            answer = json.loads(connection.getresponse().read())
            assert answer.get("outputs", [{"data": answer}])[0]["data"] == expected
        for connection in connections:
            connection.close()
    table = pa.table({"x": pa.array([1.0, 3.0], pa.float32())})
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    connections = [host.connect() for _ in range(8)]
    for connection in connections:
        body = stream.getvalue().to_pybytes()
        connection.request("POST", "/v1/models/m:predict", body, sent | {"content-type": ARROW, "accept": ARROW})
        found = pa.ipc.open_stream(connection.getresponse().read()).read_all()
        assert found.to_pydict() == {"y": [2.5, 3.5]}
        connection.close()
    for _ in range(8):
        with host.channel() as channel:
            answer = tfs_schema.PUBLIC.message("tensorflow.serving.PredictResponse")()
            answer.ParseFromString(host.predict_by_grpc(channel, [1.0, 3.0]).result())
            assert list(answer.outputs["y"].float_val) == [2.5, 3.5]


@pytest.fixture
def few(host: Host) -> Iterator[Host]:
    """The host, with the model in one lane; the version is one that gives x / 2 + 2."""
    host.publish_everywhere("plus2")
    set_lanes(host, 1)
    yield host
    set_lanes(host, 2)
    wait_for(lambda: holders(host) == {"0", "1"})


def test_one_lane_has_the_model_and_both_answer_in_every_protocol(few: Host) -> None:
    with SteadyClient(few, anew=True) as client:
        holder(few)
        answers_everywhere(few)
        set_lanes(few, 2)
        wait_for(lambda: holders(few) == {"0", "1"})
        set_lanes(few, 1)
        holder(few)
    assert (client.broken, client.failed) == (0, 0)
    few.publish_everywhere("plus2")
    holder(few)


def test_killed_predictor_and_lane_of_the_holder_fail_no_request(few: Host) -> None:
    lane = holder(few)
    with SteadyClient(few) as kept, SteadyClient(few, anew=True) as new, SteadyCaller(few) as caller:
        clients = (kept, new, caller)

        def go_on() -> None:
            seen = [len(client.answers) for client in clients]
            wait_for(lambda: all(len(client.answers) > was + 10 for client, was in zip(clients, seen, strict=True)))

        predictor_of(few, lane).send_signal(signal.SIGKILL)
        wait_for(few.settled)
        go_on()
        before = few.serving()
        few.named(f"lane-{lane}")[0].send_signal(signal.SIGKILL)
        wait_for(lambda: few.serving() > before)
        go_on()
    assert [client.failed for client in clients] == [0, 0, 0], caller.errors
    assert holder(few) == lane
