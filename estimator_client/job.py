"""A job that can be waited for. Made from `async_job.py` by scripts/sync_client.py: change that one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Self

import httpx

from estimator_client.display import job_html
from estimator_client.errors import JobNotSuccessful, Json, Unreachable
from estimator_client.event_stream import Event, EventReader
from estimator_client.transport import Transport

ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_RECONNECT_S = 1.0


class Job(dict[str, Any]):
    """A job as the service last described it, as a dict (`job["state"]`), with what can be done with it.

    In a notebook it shows its state and the curves that `metrics()` or `wait()` fetched.
    """

    def __init__(self, transport: Transport, view: Json) -> None:
        super().__init__(view)
        self._transport = transport
        self._series: dict[str, list[Json]] = {}

    @property
    def id(self) -> str:
        return str(self["id"])

    @property
    def state(self) -> str:
        """QUEUED, RUNNING, CANCELLING, SUCCEEDED, FAILED or CANCELLED, as of the last refresh."""
        return str(self["state"])

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def _path(self) -> str:
        return f"/v1/jobs/{self.id}"

    def refresh(self) -> Self:
        """Reads the job again; returns itself."""
        return self._set(self._transport.json("GET", self._path))

    def cancel(self) -> Self:
        # twice is once: a job that was asked to end stays asked
        return self._set(self._transport.json("POST", f"{self._path}/cancel", repeatable=True))

    def retry(self) -> Self:
        """Queues the job again after it failed or was cancelled."""
        return self._set(self._transport.json("POST", f"{self._path}/retry"))

    def logs(self, *, attempt: int | None = None) -> str:
        """The log of all attempts or of one, as text."""
        params = {} if attempt is None else {"attempt": attempt}
        return self._transport.text("GET", f"{self._path}/logs", params=params)

    def evaluations(self) -> list[Json]:
        return list((self._transport.json("GET", f"{self._path}/evaluations"))["evaluations"])

    def checkpoints(self) -> list[Json]:
        return list((self._transport.json("GET", f"{self._path}/checkpoints"))["checkpoints"])

    def exports(self) -> list[Json]:
        return list((self._transport.json("GET", f"{self._path}/exports"))["exports"])

    def metrics(self, *names: str) -> dict[str, list[Json]]:
        """The job's metric series, all or those named: name to points of `step` and `value`."""
        params = {"name": list(names)} if names else {}
        answer = self._transport.json("GET", f"{self._path}/metrics", params=params)
        self._series.update(answer["series"])
        return dict(answer["series"])

    def predictions(self) -> list[Json]:
        """The result of a batch prediction, a row for each row of its data set."""
        text = self._transport.text("GET", f"{self._path}/predictions", params={"format": "jsonl"})
        return [httpx.Response(200, text=line).json() for line in text.splitlines()]

    def events(self, *, after: int = 0, patience_s: float = 60.0) -> Iterator[Event]:
        """What happens to the job, to its end.

        Args:
            after: the id of the last event that is known already.
            patience_s: seconds for which a lost connection is tried to be taken up again, where it broke.
        """
        lost_at: float | None = None
        while True:
            headers = {"Last-Event-ID": str(after)} if after else {}
            reader = EventReader()
            try:
                with self._transport.stream(f"{self._path}/events", headers=headers, timeout=30.0) as answer:
                    if answer.status_code == 204:
                        return
                    for line in answer.iter_lines():
                        event = reader.line(line)
                        if event is not None:
                            after, lost_at = event.id, None
                            yield event
            except httpx.TransportError as error:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > patience_s:
                    raise Unreachable(f"The connection was lost: {error}") from error
                time.sleep(_RECONNECT_S)

    def wait(
        self, *, timeout_s: float | None = None, poll_s: float = 0.5, bar: bool = False, check: bool = False
    ) -> Self:
        """Waits until the job has ended; the job itself, with its metric series.

        Args:
            timeout_s: seconds to wait, or None for as long as it takes.
            poll_s: seconds between two looks.
            bar: draw a progress bar on standard error while waiting.
            check: raise JobNotSuccessful unless the job has succeeded.

        Raises:
            TimeoutError: the job has not ended after `timeout_s`.
        """
        from estimator_client.progress_bar import JobBar

        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with JobBar(shown=bar) as shown:
            shown.show(self)
            while not self.ended:
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"The job {self.id} is still {self.state} after {timeout_s:g} s.")
                time.sleep(poll_s)
                shown.show(self.refresh())
        self.metrics()
        if check and self.state != "SUCCEEDED":
            raise JobNotSuccessful(self)
        return self

    def _set(self, view: Json) -> Self:
        self.clear()
        self.update(view)
        return self

    def _repr_html_(self) -> str:
        return job_html(self, self._series)
