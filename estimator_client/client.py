"""A Python client of the service.

from estimator_client.client import Client

with Client("http://127.0.0.1:8000", token) as client:
    dataset = client.upload("penguins.csv")
    job = client.submit({"type": "train", "model": "penguins", …})
    for event in client.watch(job["id"]):
        print(event.kind, event.data)
    client.predict("penguins", [{"bill_length_mm": 39.1, …}])
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
Json = dict[str, Any]
_RECONNECT_S = 1.0


class ApiError(Exception):
    """An answer that is not a good one. `problem` is its body (RFC 9457), `retry_after_s` what it advises."""

    def __init__(self, status: int, problem: Json, retry_after_s: float | None = None) -> None:
        self.status = status
        self.problem = problem
        self.retry_after_s = retry_after_s
        lines = [f"{status} {problem.get('title', '')}: {problem.get('detail', '')}"]
        lines += [f"  {place['pointer'] or '/'}: {place['detail']}" for place in problem.get("errors", [])]
        super().__init__("\n".join(lines))


class Unreachable(Exception):
    """Nobody answers at the address."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job: `kind` is state, progress, checkpoint, evaluation, export or warning."""

    id: int
    kind: str
    data: Json


class Client:
    """Args:
    address: of the service, for example http://127.0.0.1:8000.
    token: with the scopes that the calls need.
    timeout_s: of one request; uploads have no limit.

    Every method raises ApiError on a refusal and Unreachable when nobody answers.
    """

    def __init__(self, address: str, token: str, *, timeout_s: float = 30.0) -> None:
        self._http = httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=timeout_s, trust_env=False
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def upload(self, path: str | Path, *, name: str | None = None, schema: Json | None = None) -> Json:
        """Uploads a file (csv, jsonl, parquet, tfrecord; also .gz, .zst); its data set."""
        path = Path(path)
        fields = {"name": name or path.name} | ({"schema": json.dumps(schema)} if schema else {})
        with path.open("rb") as file:
            return self._json("POST", "/v1/datasets", files={"file": (path.name, file)}, data=fields, timeout=None)

    def datasets(self) -> Iterator[Json]:
        yield from self._pages("/v1/datasets", "datasets")

    def delete_dataset(self, dataset_id: str) -> None:
        self._send("DELETE", f"/v1/datasets/{dataset_id}")

    def submit(self, job: Json, *, idempotency_key: str | None = None) -> Json:
        """Submits a job; as the service has it."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._json("POST", "/v1/jobs", json=job, headers=headers)

    def dry_run(self, job: Json) -> Json:
        """What a job would train: columns, parameters, memory, warnings."""
        return self._json("POST", "/v1/jobs", json=job, params={"dry_run": "true"})

    def job(self, job_id: str) -> Json:
        return self._json("GET", f"/v1/jobs/{job_id}")

    def jobs(self, **filters: str) -> Iterator[Json]:
        """All jobs, newest first; filters: state, type, model."""
        yield from self._pages("/v1/jobs", "jobs", filters)

    def cancel(self, job_id: str) -> Json:
        return self._json("POST", f"/v1/jobs/{job_id}/cancel")

    def retry(self, job_id: str) -> Json:
        return self._json("POST", f"/v1/jobs/{job_id}/retry")

    def logs(self, job_id: str) -> str:
        return self._send("GET", f"/v1/jobs/{job_id}/logs").text

    def evaluations(self, job_id: str) -> list[Json]:
        return list(self._json("GET", f"/v1/jobs/{job_id}/evaluations")["evaluations"])

    def watch(self, job_id: str, *, after: int = 0, patience_s: float = 60.0) -> Iterator[Event]:
        """Events of a job to its end. A lost connection is taken up again where it broke, for `patience_s` seconds."""
        url = f"/v1/jobs/{job_id}/events"
        lost_at: float | None = None
        while True:
            headers = {"Last-Event-ID": str(after)} if after else {}
            try:
                with self._http.stream("GET", url, headers=headers, timeout=httpx.Timeout(30.0)) as answer:
                    if answer.status_code == 204:
                        return
                    if answer.is_error:
                        answer.read()
                        self._check(answer)
                    for event in _events(answer.iter_lines()):
                        after, lost_at = event.id, None
                        yield event
            except httpx.TransportError as error:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > patience_s:
                    raise Unreachable(f"The connection was lost: {error}") from error
                time.sleep(_RECONNECT_S)

    def wait(self, job_id: str, *, timeout_s: float | None = None, poll_s: float = 0.5) -> Json:
        """The job when it has ended. Raises TimeoutError."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            job = self.job(job_id)
            if job["state"] in ENDED:
                return job
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"The job is still {job['state']} after {timeout_s:g} s.")
            time.sleep(poll_s)

    def models(self) -> Iterator[Json]:
        yield from self._pages("/v1/models", "models")

    def model(self, model: str) -> Json:
        return self._json("GET", f"/v1/models/{model}")

    def set_label(self, model: str, label: str, version: int) -> Json:
        return self._json("PUT", f"/v1/models/{model}/labels/{label}", json={"version": version})

    def predict(self, model: str, instances: Iterable[Any], *, version: int | None = None) -> list[Any]:
        """Predictions for rows, by the version behind the label `latest` or by the one named."""
        place = "" if version is None else f"/versions/{version}"
        body = {"instances": list(instances)}
        return list(self._json("POST", f"/v1/models/{model}{place}:predict", json=body)["predictions"])

    def tokens(self) -> list[Json]:
        return list(self._json("GET", "/v1/tokens")["tokens"])

    def create_token(self, name: str, scopes: list[str]) -> Json:
        """The new token; its secret stands under `token`, in this answer only."""
        return self._json("POST", "/v1/tokens", json={"name": name, "scopes": scopes})

    def revoke_token(self, token_id: str) -> Json:
        return self._json("DELETE", f"/v1/tokens/{token_id}")

    def _pages(self, path: str, key: str, filters: dict[str, str] | None = None) -> Iterator[Json]:
        params = dict(filters or {})
        while True:
            page = self._json("GET", path, params=params)
            yield from page[key]
            if not page["next_page_token"]:
                return
            params["page_token"] = page["next_page_token"]

    def _json(self, method: str, path: str, **options: Any) -> Json:
        return dict(self._send(method, path, **options).json())

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise Unreachable(f"Nobody answers at {self._http.base_url}: {error or type(error).__name__}") from error
        return self._check(answer)

    @staticmethod
    def _check(answer: httpx.Response) -> httpx.Response:
        if not answer.is_error:
            return answer
        try:
            problem = dict(answer.json())
        except ValueError:
            problem = {"title": answer.reason_phrase, "detail": "The answer is not one of this service."}
        wait = answer.headers.get("retry-after", "")
        raise ApiError(answer.status_code, problem, float(wait) if wait.isdigit() else None)


def _events(lines: Iterable[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield Event(int(fields["id"]), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}
        else:
            fields = {}
