"""Traces as a collector gets them: of a job from its submit to its export, of a prediction down to the predictor."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.conftest import RunningService, wait_for
from tests.e2e.penguins import INSTANCES, KNOWN_CSV, train_job
from tests.http import raw

JOB, PREDICTION, UNWANTED, SLOW = (f"{number}" * 32 for number in (1, 2, 3, 4))
CALLER = "00f067aa0ba902b7"


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came, with what it says of itself."""

    name: str
    service: str
    trace: str
    id: str
    parent: str
    begin: int
    end: int
    facts: dict[str, Any]


class Collector:
    """Takes OTLP by HTTP, as a collector does."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.take(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    facts = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
                    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                    times = span.start_time_unix_nano, span.end_time_unix_nano
                    self.spans.append(ReceivedSpan(span.name, service, *ids, *times, facts))

    def of(self, trace: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.trace == trace]

    def names(self, trace: str) -> set[str]:
        return {span.name for span in self.of(trace)}


@contextmanager
def traced_service(directory: Path) -> Iterator[tuple[RunningService, Collector]]:
    collector = Collector()
    traces = {"TRACES_URL": collector.url, "TRACES_SHARE": "0", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    service = RunningService(directory, {"DATABASE_URL": "", "REDIS_URL": ""} | traces)
    try:
        yield service, collector
    finally:
        service.stop()
        collector.server.shutdown()
        collector.server.server_close()


def test_job_and_prediction_are_one_trace_each(tmp_path: Path) -> None:
    with traced_service(tmp_path / "data") as (service, collector):

        def call(path: str, body: Any, trace: str, flags: str = "01", **more: str) -> str:
            headers = {"traceparent": f"00-{trace}-{CALLER}-{flags}"} | more
            answer = service.http.post(path, json=body, headers=headers)
            assert answer.status_code in (200, 202), answer.text
            return str(answer.json().get("id"))

        dataset = service.dataset("penguins", KNOWN_CSV)
        job_id = call("/v1/jobs", train_job(dataset, "traced", 500), JOB)
        service.succeeded(job_id)
        expected = {"POST /v1/jobs", "wait for a worker", "attempt", "train", "checkpoint", "export"}
        wait_for(lambda: expected <= collector.names(JOB), "the job's spans")
        check_job(collector, job_id)

        predict = "/v1/models/traced:predict"
        wait_for(
            lambda: service.http.post(predict, json={"instances": INSTANCES[:1]}).status_code == 200, "the version"
        )
        with raw.connect(service.address) as connection:
            for _ in range(2):  # the second one takes the fast path, whose head is known by then
                connection.sendall(predict_request(service, predict, PREDICTION))
                assert raw.read_response(connection)[0] == 200
        call(predict, {"instances": INSTANCES}, UNWANTED, "00")
        call(predict + "?ids=true", {"instances": INSTANCES}, SLOW)
        for trace in (PREDICTION, SLOW):
            parts = {"POST :predict", "wait for the batch", "batch in the predictor"}
            wait_for(lambda trace=trace, parts=parts: collector.names(trace) == parts, "the prediction's spans")
        wait_for(lambda: len(collector.of(PREDICTION)) == 6, "both predictions")
        check_predictions(collector.of(PREDICTION))

    # Nothing else came with a wish to be traced, and none is traced by chance.
    assert {span.trace for span in collector.spans} == {JOB, PREDICTION, SLOW}


def predict_request(service: RunningService, path: str, trace: str) -> bytes:
    """The bytes of a prediction that is traced."""
    body = json.dumps({"instances": INSTANCES}).encode()
    headers = {
        "host": service.address.removeprefix("http://"),
        "authorization": service.http.headers["authorization"],
        "content-type": "application/json",
        "content-length": str(len(body)),
        "traceparent": f"00-{trace}-{CALLER}-01",
    }
    return "\r\n".join([f"POST {path} HTTP/1.1", *map(": ".join, headers.items()), "", ""]).encode() + body


def check_job(collector: Collector, job_id: str) -> None:
    spans = collector.of(JOB)
    by_name = {span.name: span for span in spans}
    submit, attempt, train = by_name["POST /v1/jobs"], by_name["attempt"], by_name["train"]
    assert (submit.parent, submit.service) == (CALLER, "estimator-api")
    assert submit.facts["http.response.status_code"] == 202
    assert (attempt.parent, attempt.service) == (submit.id, "estimator-worker")
    assert (attempt.facts["estimator.job"], attempt.facts["estimator.outcome"]) == (job_id, "succeeded")
    assert by_name["wait for a worker"].parent == submit.id
    inner = [span for span in spans if span.service == "estimator-trainer"]
    assert {span.parent for span in inner} == {attempt.id}
    assert all(attempt.begin <= span.begin <= span.end <= attempt.end for span in inner)
    assert (train.facts["estimator.from_step"], train.facts["estimator.to_step"]) == (0, 500)
    assert 500 in [span.facts["estimator.step"] for span in inner if span.name == "checkpoint"]


def check_predictions(spans: list[ReceivedSpan]) -> None:
    requests = [span for span in spans if span.name == "POST :predict"]
    assert {span.parent for span in requests} == {CALLER}
    assert len([span for span in requests if "estimator.rows" in span.facts]) == 1  # which the fast path says
    for request in requests:
        batch = next(s for s in spans if s.parent == request.id and s.name == "batch in the predictor")
        assert batch.facts["estimator.batch_rows"] == len(INSTANCES)
        assert batch.begin <= batch.end <= request.end + 5_000_000
