"""Errors of the client: `ClientError` is the root of `ApiError`, `Unreachable` and `JobNotSuccessful`."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class ClientError(Exception):
    """Root of what the client raises."""


class ApiError(ClientError):
    """The service refused a request.

    Attributes:
        status: HTTP status of the answer.
        problem: its body, `application/problem+json` of RFC 9457.
        retry_after_s: seconds after which the service advises to try again, or None.
    """

    def __init__(self, status: int, problem: Json, retry_after_s: float | None = None) -> None:
        self.status = status
        self.problem = problem
        self.retry_after_s = retry_after_s
        super().__init__("\n".join(_lines(status, problem)))


class Unreachable(ClientError):
    """No answer came from the address."""


class JobNotSuccessful(ClientError):
    """A job that was waited for ended FAILED or CANCELLED. `job` is its last view."""

    def __init__(self, job: Json) -> None:
        self.job = job
        error = job.get("error") or {}
        reason = f": {error['kind']}: {error['detail']}" if error else ""
        super().__init__(f"The job {job['id']} ended {job['state']}{reason}")


def _lines(status: int, problem: Json) -> list[str]:
    """The title and detail, then each place that is wrong: only those that the detail does not say already."""
    detail = str(problem.get("detail", ""))
    places = [f"  {place['pointer'] or '/'}: {place['detail']}" for place in problem.get("errors", [])]
    if len(places) == 1 and problem["errors"][0]["detail"] in detail:
        pointer = problem["errors"][0]["pointer"] or "/"
        where = "" if pointer in detail else f" (at {pointer})"
        return [f"{status} {problem.get('title', '')}: {detail}{where}"]
    return [f"{status} {problem.get('title', '')}: {detail}", *places]
