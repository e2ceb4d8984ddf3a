"""Calls about jobs, asynchronous. `job_calls.py` is made from this file by `scripts/sync_client.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from estimator_client.async_job import AsyncJob
from estimator_client.async_transport import AsyncTransport
from estimator_client.errors import Json
from estimator_client.event_stream import Event
from estimator_client.request_parts import once


class AsyncJobCalls:
    """What the client does with jobs and their evaluations."""

    _transport: AsyncTransport

    async def submit(self, job: Json, *, idempotency_key: str | None = None) -> AsyncJob:
        """Submits a job (its fields: docs/jobs of the service, or GET /v1/estimators for estimators)."""
        headers = once(idempotency_key)
        view = await self._transport.json("POST", "/v1/jobs", repeatable=True, json=job, headers=headers)
        return AsyncJob(self._transport, view)

    async def dry_run(self, job: Json) -> Json:
        """What a job would train: columns, parameters, memory, warnings. Stores nothing."""
        return await self._transport.json("POST", "/v1/jobs", repeatable=True, json=job, params={"dry_run": "true"})

    async def job(self, job_id: str) -> AsyncJob:
        return AsyncJob(self._transport, await self._transport.json("GET", f"/v1/jobs/{job_id}"))

    async def jobs(self, **filters: str) -> AsyncIterator[AsyncJob]:
        """All jobs, newest first; filters: state, type, model, estimator, dataset, tag, text, created_after,
        created_before (times as RFC 3339)."""
        async for view in self._transport.pages("/v1/jobs", "jobs", filters):
            yield AsyncJob(self._transport, view)

    async def compare_jobs(self, job_ids: Sequence[str]) -> Json:
        """Two to ten jobs side by side: `differences` of their specifications, `metrics`, and curves in `series`."""
        return await self._transport.json("GET", "/v1/jobs/compare", params={"ids": list(job_ids)})

    async def update_job(self, job_id: str, **changes: Any) -> AsyncJob:
        """Changes what a job is called: `display_name` (a text or None), `tags` (a list)."""
        return AsyncJob(self._transport, await self._transport.json("PATCH", f"/v1/jobs/{job_id}", json=changes))

    async def delete_job(self, job_id: str, *, dry_run: bool = False) -> Json | None:
        """Deletes a job that has ended, with its checkpoints, evaluations and exports."""
        return await self._transport.delete(f"/v1/jobs/{job_id}", dry_run)

    async def cancel(self, job_id: str) -> AsyncJob:
        return await AsyncJob(self._transport, {"id": job_id}).cancel()

    async def retry(self, job_id: str) -> AsyncJob:
        """Queues a failed or cancelled job again."""
        return await AsyncJob(self._transport, {"id": job_id}).retry()

    async def logs(self, job_id: str, *, attempt: int | None = None) -> str:
        return await AsyncJob(self._transport, {"id": job_id}).logs(attempt=attempt)

    async def evaluations(self, job_id: str) -> list[Json]:
        return await AsyncJob(self._transport, {"id": job_id}).evaluations()

    async def watch(self, job_id: str, *, after: int = 0, patience_s: float = 60.0) -> AsyncIterator[Event]:
        """Events of a job to its end; see `AsyncJob.events`."""
        async for event in AsyncJob(self._transport, {"id": job_id}).events(after=after, patience_s=patience_s):
            yield event

    async def wait(self, job_id: str, *, timeout_s: float | None = None, poll_s: float = 0.5) -> AsyncJob:
        """The job when it has ended. Raises TimeoutError."""
        return await (await self.job(job_id)).wait(timeout_s=timeout_s, poll_s=poll_s)

    async def evaluation(self, evaluation_id: str) -> Json:
        """What an evaluation measured, of which version, on which data."""
        return await self._transport.json("GET", f"/v1/evaluations/{evaluation_id}")

    async def report(self, evaluation_id: str) -> Json:
        """The model report of an evaluation: confusion matrix, curves, calibration, slices, worst rows."""
        return await self._transport.json("GET", f"/v1/evaluations/{evaluation_id}/report")

    async def report_page(self, evaluation_id: str) -> str:
        """The model report as one HTML page that needs nothing else, to send to someone."""
        path = f"/v1/evaluations/{evaluation_id}/report"
        return await self._transport.text("GET", path, params={"format": "html"})

    async def estimators(self) -> Json:
        """Estimators and their arguments, as JSON schemas."""
        return await self._transport.json("GET", "/v1/estimators")
