"""Two lanes on one host, with real processes that are killed."""

from __future__ import annotations

import json
import re
import signal
import statistics
import time

from app.registry.tokens import TokenRepository
from tests.lanes.conftest import Host, SteadyCaller, SteadyClient
from tests.published_models import publish
from tests.waiting import wait_for


def test_connections_spread_over_both_lanes(host: Host) -> None:
    connections = [host.connect() for _ in range(64)]
    answers = [host.predict(connection) for connection in connections]
    held = [
        sum(found.status == "ESTABLISHED" and found.laddr.port == host.port for found in lane.net_connections("tcp"))
        for lane in host.lanes()
    ]
    for connection in connections:
        connection.close()
    assert {answer.status for answer in answers} == {200}
    assert len(held) == 2
    assert max(held) <= 1.5 * statistics.mean(held), f"{held}\n{host.log.read_text()[-5000:]}"


def test_lane_is_shown_as_the_program_that_it_runs(host: Host) -> None:
    shown = [[word for word in lane.cmdline() if word][1:] for lane in host.lanes()]
    assert shown == [["-m", "app.main", "lane-0"], ["-m", "app.main", "lane-1"]]


def test_metrics_are_one_view_from_every_lane(host: Host) -> None:
    for _ in range(16):
        connection = host.connect()
        host.predict(connection)
        connection.close()
    texts = []
    for _ in range(16):  # of their own: an idle one is closed after five seconds
        connection = host.connect()
        connection.request("GET", "/metrics", headers={"authorization": f"Bearer {host.secret}"})
        texts.append(connection.getresponse().read().decode())
        connection.close()
    counts = [
        {lane: float(count) for lane, count in re.findall(r'serving_requests_total\{lane="(\d)".*\} (.+)', text)}
        for text in texts
    ]
    assert all(set(count) == {"0", "1"} for count in counts)
    assert all(count == counts[0] for count in counts)
    assert all(text.count("# TYPE serving_requests_total counter") == 1 for text in texts)
    assert all(text.count('jobs{state="QUEUED"}') == 1 for text in texts)  # of the registry, not of a lane


def test_rate_of_a_token_is_one_for_both_lanes(host: Host) -> None:
    with host.database.session() as session:
        _, secret = TokenRepository(session).create("rated", ["read"])
    began = time.monotonic()
    statuses = []
    for _ in range(8):
        connection = host.connect()
        for _ in range(8):
            connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {secret}"})
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()
    took = time.monotonic() - began
    assert 40 <= statuses.count(200) <= 41 + took
    assert set(statuses) == {200, 429}


def test_label_moves_in_both_lanes_together(host: Host) -> None:
    connections = [host.connect() for _ in range(8)]
    published = time.monotonic()
    number = str(host.publish("plus3"))
    seen: list[tuple[float, str]] = []

    def all_have_it() -> bool:
        answers = [host.predict(connection) for connection in connections]
        seen.extend((answer.at, answer.version) for answer in answers)
        return all(answer.version == number for answer in answers)

    wait_for(all_have_it)
    for connection in connections:
        assert json.loads(host.predict(connection).body) == {"predictions": [3.5]}
        connection.close()
    first = min(at for at, version in seen if version == number)
    last = max(at for at, version in seen if version != number)
    assert last - first < max(0.5, (first - published) / 2)  # each at its own time, they would be a load apart


def test_label_that_was_set_is_answered_by_both_lanes_at_once(host: Host) -> None:
    number = host.publish_everywhere("plus2")
    connections = [host.connect() for _ in range(8)]
    pending = 0
    for turn in range(6):
        wanted = number - (turn + 1) % 2
        made = host.ask("PUT", "/v1/models/m/labels/latest", json={"version": wanted}).json()
        answers = {host.predict(connection).version for connection in connections}
        pending += made["pending"]
        assert made["pending"] or answers == {str(wanted)}
    assert pending < 6
    for connection in connections:
        connection.close()


def test_settings_of_a_model_hold_in_every_lane_and_protocol(host: Host) -> None:
    publish(host.database, host.storage, "slow", host.exports / "slow")
    sent = {"authorization": f"Bearer {host.secret}", "content-type": "application/json"}
    tensor = {"name": "x", "shape": [30], "datatype": "FP32", "data": [1.0] * 30}
    bodies = {"/v1/models/slow:predict": {"instances": [1.0] * 30}, "/v2/models/slow/infer": {"inputs": [tensor]}}

    def statuses(path: str, count: int) -> set[int]:
        """Of so many requests at once, each over a connection of its own: of eight both lanes have some."""
        connections = [host.connect() for _ in range(count)]
        for connection in connections:
            connection.request("POST", path, json.dumps(bodies[path]), sent)
        answers = [connection.getresponse() for connection in connections]
        for answer, connection in zip(answers, connections, strict=True):
            answer.read()
            connection.close()
        return {answer.status for answer in answers}

    predict, infer = bodies
    wait_for(lambda: statuses(predict, 1) == {200})
    # a call takes 10 ms and more whatever its rows: 30 calls of one row take longer than a request may
    put = host.ask("PUT", "/v1/models/slow/serving", json={"batch_rows": 1, "timeout_s": 0.05})
    assert put.status_code == 200, put.text
    wait_for(lambda: statuses(predict, 1) == {504})
    wait_for(lambda: statuses(predict, 8) == {504})
    wait_for(lambda: statuses(infer, 1) == {504})
    with host.channel() as channel:
        wait_for(lambda: host.predict_by_grpc(channel, [1.0] * 30, "slow").code().name == "DEADLINE_EXCEEDED")
    assert host.ask("PUT", "/v1/models/slow/serving", json={}).status_code == 200
    wait_for(lambda: statuses(predict, 8) == {200})


def test_engine_that_a_host_does_not_have_is_told_and_tensorflow_answers(host: Host) -> None:
    publish(host.database, host.storage, "engines", host.exports / "plus2")

    def told() -> set[int]:
        """Lanes that told it of this model."""
        entries = [json.loads(line) for line in host.log.read_text().splitlines() if '"engine of a version"' in line]
        return {entry["lane"] for entry in entries if entry["model"] == "engines"}

    with SteadyClient(host) as client:
        assert host.ask("PUT", "/v1/models/engines/serving", json={"engine": "onnx"}).status_code == 200
        wait_for(lambda: told() == {0, 1}, "both lanes to look for the engine")
        engine = host.ask("GET", "/v1/models/engines/versions/1").json()["engine"]
    assert (engine["asked"], set(engine["signatures"].values())) == ("onnx", {"tensorflow"})
    assert engine["reasons"]
    assert all("tf2onnx" in reason for reason in engine["reasons"].values())
    assert (client.broken, client.failed) == (0, 0)


def test_killed_lane_is_replaced_with_its_predictor_while_the_other_serves(host: Host) -> None:
    predictors = {predictor.pid for predictor in host.predictors()}
    for name in ("lane-0", "lane-1"):
        before = host.serving()
        [lane] = host.named(name)
        with SteadyClient(host) as kept, SteadyClient(host, anew=True) as new, SteadyCaller(host) as caller:
            lane.send_signal(signal.SIGKILL)
            wait_for(lambda before=before: host.serving() > before)  # type: ignore[misc]
            seen = len(new.answers)
            wait_for(lambda new=new, seen=seen: len(new.answers) > seen + 10)  # type: ignore[misc]
            called = len(caller.answers)
            wait_for(lambda caller=caller, called=called: len(caller.answers) > called + 10)  # type: ignore[misc]
        assert (kept.failed, new.failed, caller.failed) == (0, 0, 0), caller.errors
        assert len(host.lanes()) == 2
    assert {predictor.pid for predictor in host.predictors()} == predictors


def test_killed_predictor_is_replaced_by_the_spare(host: Host) -> None:
    spare = max(host.predictors(), key=lambda process: process.create_time())  # numbers of processes begin anew
    with SteadyClient(host, anew=True) as client:
        for predictor in set(host.predictors()) - {spare}:
            predictor.send_signal(signal.SIGKILL)
            wait_for(lambda predictor=predictor: predictor not in host.predictors() and len(host.predictors()) == 3)  # type: ignore[misc]
            seen = len(client.answers)
            wait_for(lambda seen=seen: len(client.answers) > seen + 10)  # type: ignore[misc]
    assert client.failed == 0


def test_both_nurseries_killed_disturb_nobody_and_come_back(host: Host) -> None:
    before = {process.pid for process in [*host.lanes(), *host.predictors()]}
    old = host.nurseries()
    with SteadyClient(host) as client:
        for nursery in old:
            nursery.send_signal(signal.SIGKILL)
        wait_for(lambda: len(host.nurseries()) == 2 and not {*host.nurseries()} & {*old})
    assert (client.broken, client.failed) == (0, 0)
    assert {process.pid for process in [*host.lanes(), *host.predictors()]} == before


def test_lane_that_hangs_is_replaced(host: Host) -> None:
    [lane] = host.named("lane-1")
    before = host.serving()
    lane.send_signal(signal.SIGSTOP)
    wait_for(lambda: not lane.is_running() and host.serving() > before)
    connections = [host.connect() for _ in range(8)]
    for connection in connections:
        assert host.predict(connection).status == 200
        connection.close()


def test_rolling_restart_fails_no_request_and_takes_new_settings(host: Host) -> None:
    before = {process.pid for process in [*host.lanes(), *host.predictors(), *host.nurseries()]}
    host.settings_file.write_text("ALLOWED_ORIGINS=http://rolled.example\n")
    began = host.serving()
    publish(host.database, host.storage, "few", host.exports / "plus2")
    assert host.ask("PUT", "/v1/models/few/serving", json={"lanes": 1}).status_code == 200
    wait_for(lambda: host.ask("GET", "/v2/models/few/ready").status_code == 200)
    with (
        SteadyClient(host) as kept,
        SteadyClient(host, anew=True) as new,
        SteadyCaller(host) as another,
        SteadyClient(host, "few", anew=True) as few,
    ):
        host.process.send_signal(signal.SIGHUP)
        wait_for(lambda: host.says("rolling restart done"))
        seen = len(kept.answers)
        wait_for(lambda: len(kept.answers) > seen + 10)
    for client in (kept, new, another, few):
        assert (client.broken, client.failed) == (0, 0), client.errors
    assert host.serving() == began + 2
    wait_for(lambda: len(host.predictors()) == 3)
    assert not before & {process.pid for process in [*host.lanes(), *host.predictors(), *host.nurseries()]}
    allowed = host.ask("GET", "/healthz", headers={"origin": "http://rolled.example"})
    assert allowed.headers["access-control-allow-origin"] == "http://rolled.example"


def test_rolling_restart_with_a_wrong_setting_is_refused(host: Host) -> None:
    before = host.lanes()
    host.settings_file.write_text("MAX_CONNECTIONS=none\n")
    host.process.send_signal(signal.SIGHUP)
    wait_for(lambda: host.says("rolling restart refused"))
    host.settings_file.write_text("")
    assert host.lanes() == before
