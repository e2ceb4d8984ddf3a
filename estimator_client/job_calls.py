"""Calls about jobs. Made from `async_job_calls.py` by scripts/sync_client.py: change that one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from estimator_client.errors import Json
from estimator_client.event_stream import Event
from estimator_client.job import Job
from estimator_client.request_parts import once
from estimator_client.transport import Transport


class JobCalls:
    """What the client does with jobs and their evaluations."""

    _transport: Transport

    def submit(self, job: Json, *, idempotency_key: str | None = None) -> Job:
        """Submits a job (its fields: docs/jobs of the service, or GET /v1/estimators for estimators)."""
        headers = once(idempotency_key)
        view = self._transport.json("POST", "/v1/jobs", repeatable=True, json=job, headers=headers)
        return Job(self._transport, view)

    def dry_run(self, job: Json) -> Json:
        """What a job would train: columns, parameters, memory, warnings. Stores nothing."""
        return self._transport.json("POST", "/v1/jobs", repeatable=True, json=job, params={"dry_run": "true"})

    def job(self, job_id: str) -> Job:
        return Job(self._transport, self._transport.json("GET", f"/v1/jobs/{job_id}"))

    def jobs(self, **filters: str) -> Iterator[Job]:
        """All jobs, newest first; filters: state, type, model, estimator, dataset, tag, text, created_after,
        created_before (times as RFC 3339)."""
        for view in self._transport.pages("/v1/jobs", "jobs", filters):
            yield Job(self._transport, view)

    def compare_jobs(self, job_ids: Sequence[str]) -> Json:
        """Two to ten jobs side by side: `differences` of their specifications, `metrics`, and curves in `series`."""
        return self._transport.json("GET", "/v1/jobs/compare", params={"ids": list(job_ids)})

    def update_job(self, job_id: str, **changes: Any) -> Job:
        """Changes what a job is called: `display_name` (a text or None), `tags` (a list)."""
        return Job(self._transport, self._transport.json("PATCH", f"/v1/jobs/{job_id}", json=changes))

    def delete_job(self, job_id: str, *, dry_run: bool = False) -> Json | None:
        """Deletes a job that has ended, with its checkpoints, evaluations and exports."""
        return self._transport.delete(f"/v1/jobs/{job_id}", dry_run)

    def cancel(self, job_id: str) -> Job:
        return Job(self._transport, {"id": job_id}).cancel()

    def retry(self, job_id: str) -> Job:
        """Queues a failed or cancelled job again."""
        return Job(self._transport, {"id": job_id}).retry()

    def logs(self, job_id: str, *, attempt: int | None = None) -> str:
        return Job(self._transport, {"id": job_id}).logs(attempt=attempt)

    def evaluations(self, job_id: str) -> list[Json]:
        return Job(self._transport, {"id": job_id}).evaluations()

    def watch(self, job_id: str, *, after: int = 0, patience_s: float = 60.0) -> Iterator[Event]:
        """Events of a job to its end; see `Job.events`."""
        for event in Job(self._transport, {"id": job_id}).events(after=after, patience_s=patience_s):
            yield event

    def wait(self, job_id: str, *, timeout_s: float | None = None, poll_s: float = 0.5) -> Job:
        """The job when it has ended. Raises TimeoutError."""
        return (self.job(job_id)).wait(timeout_s=timeout_s, poll_s=poll_s)

    def evaluation(self, evaluation_id: str) -> Json:
        """What an evaluation measured, of which version, on which data."""
        return self._transport.json("GET", f"/v1/evaluations/{evaluation_id}")

    def report(self, evaluation_id: str) -> Json:
        """The model report of an evaluation: confusion matrix, curves, calibration, slices, worst rows."""
        return self._transport.json("GET", f"/v1/evaluations/{evaluation_id}/report")

    def report_page(self, evaluation_id: str) -> str:
        """The model report as one HTML page that needs nothing else, to send to someone."""
        path = f"/v1/evaluations/{evaluation_id}/report"
        return self._transport.text("GET", path, params={"format": "html"})

    def estimators(self) -> Json:
        """Estimators and their arguments, as JSON schemas."""
        return self._transport.json("GET", "/v1/estimators")
